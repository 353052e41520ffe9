import { useEffect, useState } from "preact/hooks";

/** Cell is a value that far parts of the page share without drawing what lies between them again. */
export class Cell<T> {
  private listeners = new Set<(value: T) => void>();

  constructor(private value: T) {}

  get(): T {
    return this.value;
  }

  set(value: T): void {
    if (Object.is(value, this.value)) return;
    this.value = value;
    for (const listener of this.listeners) listener(value);
  }

  subscribe(listener: (value: T) => void): () => void {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  }
}

export function useCell<T>(cell: Cell<T>): T {
  const [value, setValue] = useState(cell.get());
  useEffect(() => {
    setValue(() => cell.get());
    return cell.subscribe((v) => setValue(() => v));
  }, [cell]);
  return value;
}
