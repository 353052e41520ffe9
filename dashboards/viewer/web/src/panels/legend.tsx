// The legend: names of series, with calculations where the panel asks for them. A click shows one series alone, a click
// with Ctrl, Cmd or Shift switches it on or off.
import { calcTitle } from "../format/reduce";
import type { LegendOptions } from "../model";
import { widthOf } from "./ticks";

export interface LegendItem {
  title: string;
  color: string;
  dashed?: boolean;
  band?: boolean;
  /** Texts of the panel's calculations, in its order. */
  calcs: string[];
}

const line = 20;

/** How much of the panel the legend takes. Small panels have none. */
export function legendSize(options: LegendOptions, items: LegendItem[], width: number, height: number): { right: number; bottom: number } {
  if (options.showLegend === false || options.displayMode === "hidden" || items.length === 0 || height < 110) return { right: 0, bottom: 0 };
  const widths = items.map((i) => widthOf(i.title, 12) + 38 + i.calcs.reduce((w, c) => w + widthOf(c, 12) + 16, 0));
  if (options.placement === "right" && width >= 420) return { right: Math.min(Math.max(...widths) + 16, Math.round(width * 0.38)), bottom: 0 };
  const most = Math.max(line + 4, Math.round(height * 0.3));
  if (options.displayMode === "table") return { right: 0, bottom: Math.min((items.length + (options.calcs?.length ? 1 : 0)) * (line + 2) + 6, most) };
  let lines = 1;
  let used = 8;
  for (const w of widths) {
    if (used + w > width && used > 8) {
      lines++;
      used = 8;
    }
    used += w;
  }
  return { right: 0, bottom: Math.min(lines * line + 4, most) };
}

interface Props {
  options: LegendOptions;
  items: LegendItem[];
  hidden: ReadonlySet<string>;
  onHide(hidden: ReadonlySet<string>): void;
  size: { right: number; bottom: number };
  height: number;
}

/** What is hidden after a click on a series. */
export function toggled(items: LegendItem[], hidden: ReadonlySet<string>, title: string, add: boolean): ReadonlySet<string> {
  const next = new Set(hidden);
  if (add) {
    if (!next.delete(title)) next.add(title);
    return next;
  }
  const others = items.map((i) => i.title).filter((t) => t !== title);
  const alone = !hidden.has(title) && others.every((t) => hidden.has(t));
  return new Set(alone ? [] : others);
}

export function Legend({ options, items, hidden, onHide, size, height }: Props) {
  const button = (item: LegendItem) => (
    <button type="button" aria-pressed={!hidden.has(item.title)} title={item.title} onClick={(e) => onHide(toggled(items, hidden, item.title, e.ctrlKey || e.metaKey || e.shiftKey))}>
      <i class={`viz-key${item.dashed ? " dashed" : ""}${item.band ? " band" : ""}`} style={item.band ? { background: item.color } : { borderColor: item.color }} />
      <span dir="auto">{item.title}{options.displayMode === "table" ? "" : item.calcs.map((c, i) => ` ${calcTitle(options.calcs![i]!)}: ${c}`).join("")}</span>
    </button>
  );
  const box = size.right ? { width: `${size.right}px`, height: `${height}px` } : { height: `${size.bottom}px` };
  return (
    <div class={size.right ? "viz-legend right" : "viz-legend"} style={box} role="group" aria-label="Legend">
      {options.displayMode === "table" ? (
        <table>
          {!!options.calcs?.length && (
            <thead>
              <tr><th>Name</th>{options.calcs.map((c) => <th key={c}>{calcTitle(c)}</th>)}</tr>
            </thead>
          )}
          <tbody>
            {items.map((i) => (
              <tr key={i.title}><td>{button(i)}</td>{i.calcs.map((c, n) => <td key={n}>{c}</td>)}</tr>
            ))}
          </tbody>
        </table>
      ) : (
        <div class="viz-legend-list">{items.map(button)}</div>
      )}
    </div>
  );
}
