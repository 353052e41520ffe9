// The legend: names of series, with calculations where the panel asks for them. A click shows one series alone, a click
// with Ctrl, Cmd or Shift switches it on or off. A list has two lines at the most; a button opens the rest over the chart.
import { useState } from "preact/hooks";
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
const mostLines = 2;
/** Room for "+99 more". */
const moreWidth = 70;

export interface LegendSize {
  right: number;
  bottom: number;
  /** How many names it has room for. */
  shown: number;
}

/** How much of the panel the legend takes. Small panels have none. */
export function legendSize(options: LegendOptions, items: LegendItem[], width: number, height: number): LegendSize {
  const shown = items.length;
  if (options.showLegend === false || options.displayMode === "hidden" || items.length === 0 || height < 110) return { right: 0, bottom: 0, shown };
  const widths = items.map((i) => widthOf(i.title, 12) + 38 + i.calcs.reduce((w, c) => w + widthOf(c, 12) + 16, 0));
  if (options.placement === "right" && width >= 420) return { right: Math.min(Math.max(...widths) + 16, Math.round(width * 0.38)), bottom: 0, shown };
  const most = Math.max(line + 4, Math.round(height * 0.3));
  if (options.displayMode === "table") return { right: 0, bottom: Math.min((items.length + (options.calcs?.length ? 1 : 0)) * (line + 2) + 6, most), shown };
  const allowed = Math.min(mostLines, Math.max(1, Math.floor((most - 4) / line)));
  let lines = 1;
  let used = 8;
  let fit = 0; // names before which the last line still has room for the button
  for (const [i, w] of widths.entries()) {
    if (used + w > width && used > 8) {
      if (lines === allowed) return { right: 0, bottom: lines * line + 4, shown: Math.max(fit, 1) };
      lines++;
      used = 8;
    }
    used += w;
    if (lines < allowed || used + moreWidth <= width) fit = i + 1;
  }
  return { right: 0, bottom: lines * line + 4, shown };
}

interface Props {
  options: LegendOptions;
  items: LegendItem[];
  hidden: ReadonlySet<string>;
  onHide(hidden: ReadonlySet<string>): void;
  size: LegendSize;
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
  const [open, setOpen] = useState(false);
  const more = items.length - size.shown;
  const button = (item: LegendItem) => (
    <button type="button" aria-pressed={!hidden.has(item.title)} title={item.title} onClick={(e) => onHide(toggled(items, hidden, item.title, e.ctrlKey || e.metaKey || e.shiftKey))}>
      <i class={`viz-key${item.dashed ? " dashed" : ""}${item.band ? " band" : ""}`} style={item.band ? { background: item.color } : { borderColor: item.color }} />
      <span dir="auto">{item.title}{options.displayMode === "table" ? "" : item.calcs.map((c, i) => ` ${calcTitle(options.calcs![i]!)}: ${c}`).join("")}</span>
    </button>
  );
  const over = open && more > 0;
  const box = size.right ? { width: `${size.right}px`, height: `${height}px` } : over ? { maxHeight: `${Math.round(height * 0.8)}px` } : { height: `${size.bottom}px` };
  const close = (e: KeyboardEvent) => {
    if (e.key !== "Escape" || !over) return;
    setOpen(false);
    e.stopPropagation();
  };
  return (
    <div class={`viz-legend${size.right ? " right" : ""}${over ? " over" : ""}`} style={box} role="group" aria-label="Legend" onKeyDown={close}>
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
        <div class="viz-legend-list">
          {(over ? items : items.slice(0, size.shown)).map(button)}
          {more > 0 && (
            <button type="button" class="viz-legend-more" aria-expanded={over} onClick={() => setOpen(!open)}>
              {over ? "show fewer" : `+${more} more`}
            </button>
          )}
        </div>
      )}
    </div>
  );
}
