// How a dashboard's panels lie: rows as sections, each with a grid of its own, so that folding one moves the rest up.
import type { Dashboard, Panel } from "../model";

export interface Section {
  /** The row's place in the dashboard, which a link can name; empty for the panels above the first row. */
  id: string;
  title: string;
  /** The row is folded unless the user opens it. */
  collapsed: boolean;
  panels: Panel[];
}

/** sections groups panels under the row above them. Positions become relative to their section. */
export function sections(dashboard: Dashboard): Section[] {
  const out: Section[] = [{ id: "", title: "", collapsed: false, panels: [] }];
  for (const p of dashboard.panels) {
    if (p.type === "row") out.push({ id: String(out.length), title: p.title, collapsed: p.collapsed ?? false, panels: [...(p.panels ?? [])] });
    else out.at(-1)?.panels.push(p);
  }
  return out.filter((s) => s.title !== "" || s.panels.length > 0).map((s) => ({ ...s, panels: fromTop(s.panels) }));
}

function fromTop(panels: Panel[]): Panel[] {
  const top = Math.min(...panels.map((p) => p.gridPos.y));
  return panels
    .map((p) => ({ ...p, gridPos: { ...p.gridPos, y: p.gridPos.y - top } }))
    .sort((a, b) => a.gridPos.y - b.gridPos.y || a.gridPos.x - b.gridPos.x);
}

export type Direction = "ArrowLeft" | "ArrowRight" | "ArrowUp" | "ArrowDown";

export interface Box {
  left: number;
  top: number;
  right: number;
  bottom: number;
}

/** neighbour is the index of the nearest box in a direction, or -1. Sideways distance counts double. */
export function neighbour(boxes: Box[], from: number, direction: Direction): number {
  const here = boxes[from];
  if (!here) return -1;
  const middle = (b: Box) => ({ x: (b.left + b.right) / 2, y: (b.top + b.bottom) / 2 });
  const a = middle(here);
  let best = -1;
  let bestCost = Infinity;
  boxes.forEach((box, i) => {
    if (i === from) return;
    const b = middle(box);
    const [dx, dy] = [b.x - a.x, b.y - a.y];
    const horizontal = direction === "ArrowLeft" || direction === "ArrowRight";
    const beyond = {
      ArrowLeft: box.right <= here.left + 1,
      ArrowRight: box.left >= here.right - 1,
      ArrowUp: box.bottom <= here.top + 1,
      ArrowDown: box.top >= here.bottom - 1,
    }[direction];
    if (!beyond) return;
    const cost = horizontal ? Math.abs(dx) + 2 * Math.abs(dy) : Math.abs(dy) + 2 * Math.abs(dx);
    if (cost < bestCost) [best, bestCost] = [i, cost];
  });
  return best;
}
