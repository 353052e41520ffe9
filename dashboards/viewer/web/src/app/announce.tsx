import { useEffect, useState } from "preact/hooks";

let say: (text: string) => void = () => {};

/** announce tells screen readers of a change, politely. */
export const announce = (text: string): void => say(text);

const quiet = 5000;

/** Announcer is the region that announce writes into: at most one text in 5 s, the newest of those that came meanwhile. */
export function Announcer() {
  const [text, setText] = useState("");
  useEffect(() => {
    let last = -Infinity;
    let timer: ReturnType<typeof setTimeout> | undefined;
    say = (next) => {
      clearTimeout(timer);
      timer = setTimeout(() => {
        last = Date.now();
        setText(next);
      }, Math.max(0, last + quiet - Date.now()));
    };
    return () => clearTimeout(timer);
  }, []);
  return (
    <div class="hidden" role="status" aria-live="polite">
      {text}
    </div>
  );
}
