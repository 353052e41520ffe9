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

/** neighbour is the index of the nearest box in a direction, or -1: first the next row or column, then who lies straight ahead. */
export function neighbour(boxes: Box[], from: number, direction: Direction): number {
  const here = boxes[from];
  if (!here) return -1;
  let best = -1;
  let bestCost = Infinity;
  boxes.forEach((box, i) => {
    const gap = {
      ArrowLeft: here.left - box.right,
      ArrowRight: box.left - here.right,
      ArrowUp: here.top - box.bottom,
      ArrowDown: box.top - here.bottom,
    }[direction];
    if (i === from || gap < -1) return;
    const sideways = direction === "ArrowLeft" || direction === "ArrowRight" ? box.top + box.bottom - here.top - here.bottom : box.left + box.right - here.left - here.right;
    const cost = 8 * gap + Math.abs(sideways);
    if (cost < bestCost) [best, bestCost] = [i, cost];
  });
  return best;
}
