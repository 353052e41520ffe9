// State timelines: one row per field, its states as stretches of time.
import type { CustomSeriesOption } from "echarts/types/dist/shared";
import { isShown, type Display, type Field, type Value } from "../format/field";
import { colorOf, inkOn, withAlpha } from "../format/theme";
import { isoTime } from "../format/units";
import type { Context, Drawing, Kind, Option } from "./chart";
import type { LegendItem } from "./legend";
import { fitted, widthOf } from "./ticks";
import { annotationSeries, timeAxis } from "./timeseries";

export interface Stretch {
  row: number;
  from: number;
  to: number;
  value: Value;
  shown: Display;
}

export interface Timeline {
  rows: Field[];
  stretches: Stretch[];
}

/** A state lasts until the next value; the last one, to the end of the range. Absent values are gaps. */
export function timelineOf({ data, panel, range }: Pick<Context, "data" | "panel" | "range">): Timeline {
  const merge = panel.options?.mergeValues ?? true;
  const rows: Field[] = [];
  const stretches: Stretch[] = [];
  for (const frame of data) {
    const time = frame.fields.find((f) => f.type === "time");
    if (!time) continue;
    const order = time.values.map((_, i) => i).sort((a, b) => Number(time.values[a]) - Number(time.values[b]));
    for (const field of frame.fields.filter((f) => f !== time && isShown(f))) {
      const row = rows.push(field) - 1;
      order.forEach((at, i) => {
        const value = field.values[at] ?? null;
        const from = Number(time.values[at]);
        const next = order[i + 1];
        const to = next === undefined ? Math.max(range.to, from) : Number(time.values[next]);
        const before = stretches.at(-1);
        if (value === null) return;
        if (merge && before?.row === row && before.value === value && before.to === from) before.to = to;
        else stretches.push({ row, from, to, value, shown: field.display(value) });
      });
    }
  }
  return { rows, stretches };
}

/** The colour of a state: that of its mapping or threshold, else one of the palette by the state's text. */
function colorsOf({ theme }: Context, { stretches }: Timeline): Map<string, string> {
  const colors = new Map<string, string>();
  for (const { shown } of stretches) {
    if (!colors.has(shown.text)) colors.set(shown.text, colorOf(theme, shown.color ?? `palette:${colors.size}`));
  }
  return colors;
}

function legend(context: Context): LegendItem[] {
  const colors = colorsOf(context, timelineOf(context));
  return colors.size > 12 ? [] : [...colors].map(([title, color]) => ({ title, color, band: true, calcs: [] }));
}

function draw(context: Context): Drawing {
  const { panel, theme, range, hidden, width, height } = context;
  const timeline = timelineOf(context);
  const { rows } = timeline;
  const colors = colorsOf(context, timeline);
  const stretches = timeline.stretches.filter((s) => !hidden.has(s.shown.text));
  const left = Math.min(rows.reduce((w, f) => Math.max(w, widthOf(f.title)), 10) + 12, width * 0.35);
  const plot = { left, top: 6, width: Math.max(width - left - 14, 10), height: Math.max(height - 32, 10) };
  const slot = plot.height / Math.max(rows.length, 1);
  const tall = slot * (panel.options?.rowHeight ?? 0.9);
  const showValue = panel.options?.showValue ?? "auto";
  const series: CustomSeriesOption = {
    type: "custom", id: "states", silent: true, clip: true, data: stretches.map((s) => [s.from, s.row]),
    renderItem: (params, api) => {
      const s = stretches[params.dataIndex]!;
      const x1 = Math.max(api.coord([s.from, 0])[0]!, plot.left);
      const x2 = Math.min(api.coord([s.to, 0])[0]!, plot.left + plot.width);
      if (x2 < plot.left || x1 > plot.left + plot.width) return { type: "group", children: [] };
      const y = plot.top + s.row * slot + (slot - tall) / 2;
      const color = colors.get(s.shown.text)!;
      const alpha = (rows[s.row]!.config.custom.fillOpacity ?? 85) / 100;
      const text = showValue === "never" || tall < 13 ? "" : fitted(s.shown.text, x2 - x1 - 8);
      const shape = { type: "rect" as const, shape: { x: x1, y, width: Math.max(x2 - x1 - 1, 1), height: tall, r: 2 }, style: { fill: withAlpha(color, alpha) } };
      const fits = text.length > 1 && x2 - x1 > 24;
      const align = panel.options?.alignValue ?? "left";
      const at = { left: x1 + 5, center: (x1 + x2) / 2, right: x2 - 5 }[align];
      return { type: "group", children: [shape, ...(fits ? [{ type: "text" as const, style: { text, x: at, y: y + tall / 2, align, verticalAlign: "middle" as const, fill: inkOn(color), fontSize: 11 } }] : [])] };
    },
  };
  return {
    plot, span: { from: range.from, to: range.to },
    option: {
      xAxis: timeAxis(range.from, range.to, plot.width, theme),
      yAxis: {
        type: "value", min: 0, max: Math.max(rows.length, 1), inverse: true, axisLine: { show: false }, axisTick: { show: false, customValues: rows.map((_, i) => i + 0.5) }, splitLine: { show: false },
        axisLabel: { color: theme.muted, fontSize: 11, margin: 6, customValues: rows.map((_, i) => i + 0.5), formatter: (v: number) => fitted(rows[Math.floor(v)]?.title ?? "", left - 10) },
      },
      series: [series, annotationSeries(context)],
    } as Option,
    tip: (px, py) => {
      const t = range.from + (px / plot.width) * (range.to - range.from);
      const row = Math.floor(py / slot);
      const s = stretches.find((k) => k.row === row && t >= k.from && t < k.to);
      return s && { head: `${isoTime(s.from)} to ${isoTime(s.to)} UTC`, rows: [{ name: rows[row]!.title, value: s.shown.text, color: colors.get(s.shown.text) }] };
    },
  };
}

export const timeline: Kind = { legend, draw };
