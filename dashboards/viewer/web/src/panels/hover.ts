/** The moment under the pointer of any panel, in Unix ms; null when there is none. */
export interface Hover {
  set(time: number | null): void;
  subscribe(listener: (time: number | null) => void): () => void;
}

export function createHover(): Hover {
  const listeners = new Set<(time: number | null) => void>();
  return {
    set: (time) => listeners.forEach((l) => l(time)),
    subscribe(listener) {
      listeners.add(listener);
      return () => void listeners.delete(listener);
    },
  };
}
