import { useEffect } from "preact/hooks";
import { type Direction, neighbour } from "./layout";

/** What each key does, as the help shows it. */
export const shortcuts: [string, string][] = [
  ["d", "choose the drop"],
  ["t", "choose the time range"],
  ["r", "refresh now"],
  ["a", "show the alerts"],
  ["k", "wall mode: just the panels"],
  ["arrows", "move between panels"],
  ["Enter", "fill the screen with the panel, and back"],
  ["Esc", "close what is open"],
  ["?", "show this list"],
];

/** useShortcuts calls an action by its key, unless the user types or a dialog is open. */
export function useShortcuts(actions: Record<string, () => void>, onEnter: (panel: number) => void): void {
  useEffect(() => {
    const pressed = (e: KeyboardEvent) => {
      const target = e.target as HTMLElement;
      if (e.ctrlKey || e.metaKey || e.altKey || e.defaultPrevented || document.querySelector("dialog[open]")) return;
      if (target.matches("input, textarea, select, [contenteditable]")) return;
      if (e.key.startsWith("Arrow")) {
        // A table or a picture inside a panel keeps its own arrow keys.
        if (!target.matches("article.panel, #main")) return;
        if (step(e.key as Direction)) e.preventDefault();
        return;
      }
      if (e.key === "Enter" && target.matches("article.panel")) return onEnter(Number(target.dataset["panel"]));
      const action = actions[e.key];
      if (!action) return;
      e.preventDefault();
      action();
    };
    addEventListener("keydown", pressed);
    return () => removeEventListener("keydown", pressed);
  });
}

/** step moves the focus to the next panel in a direction, and says whether there was one to move from. */
function step(direction: Direction): boolean {
  const panels = [...document.querySelectorAll<HTMLElement>("article.panel")];
  const at = panels.indexOf(document.activeElement as HTMLElement);
  if (at < 0) {
    // The skip link leads to the panels as a whole.
    if (document.activeElement?.id !== "main") return false;
    panels[0]?.focus();
    return true;
  }
  const next = neighbour(
    panels.map((p) => p.getBoundingClientRect()),
    at,
    direction,
  );
  panels[next]?.focus();
  return true;
}
