// Heat maps of rows: a time, the bounds of a bucket, a count; or one column (or series) per bucket.
import type { CustomSeriesOption } from "echarts/types/dist/shared";
import type { Data, Field } from "../format/field";
import { alongScale, colorOf, scaleStops, withAlpha } from "../format/theme";
import { formatOf, isoTime, joined } from "../format/units";
import type { Context, Drawing, Kind, Option } from "./chart";
import { niceTicks, trimmed, widthOf } from "./ticks";
import { annotationSeries, timeAxis } from "./timeseries";

export interface Cell {
  from: number;
  to: number;
  /** Rows from below; with bounds they are places on a scale of numbers. */
  low: number;
  high: number;
  count: number;
}

export interface Cells {
  cells: Cell[];
  /** Labels of rows, where buckets are names. */
  rows?: string[];
  count: Field;
}

const lowNames = /^(y_?min|bucket_(low|min|from|start)|low|lower|from|ge)$/i;
const highNames = /^(y_?max|bucket_(high|max|to|end)|high|upper|to|le)$/i;

/** The shortest step between moments; with one moment only, the step given. */
function stepOf(times: number[], alone: number): number {
  const sorted = [...new Set(times)].sort((a, b) => a - b);
  return sorted.length < 2 ? alone : sorted.reduce((least, t, i) => (i > 0 ? Math.min(least, t - sorted[i - 1]!) : least), Infinity);
}

/** The number that a bucket's name gives, of "100", "le=100" or "100-250". */
const bound = (name: string): number => (/inf/i.test(name) ? Infinity : Number(/-?\d+(\.\d+)?/.exec(name)?.[0] ?? NaN));

export function cellsOf(data: Data[], stepMs: number): Cells | undefined {
  for (const frame of data) {
    const time = frame.fields.find((f) => f.type === "time");
    if (!time || frame.length === 0) continue;
    const numbers = frame.fields.filter((f) => f.type === "number");
    const low = numbers.find((f) => lowNames.test(f.name));
    const high = numbers.find((f) => highNames.test(f.name) && f !== low);
    const times = time.values.map(Number);
    const width = stepOf(times, stepMs);
    const count = numbers.find((f) => f !== low && f !== high);
    if (low && high && count) {
      const cells = times.map((from, i) => ({ from, to: from + width, low: Number(low.values[i]), high: Number(high.values[i]), count: Number(count.values[i] ?? 0) }));
      return { cells: cells.filter((c) => Number.isFinite(c.low) && c.high > c.low), count };
    }
    const series = data.flatMap((d) => d.fields.filter((f) => f.type === "number").map((field) => ({ field, times: d.fields.find((f) => f.type === "time")?.values ?? [] })));
    const bounds = series.map(({ field }) => bound(field.title));
    const order = series.map((_, i) => i);
    if (bounds.every((b) => !Number.isNaN(b))) order.sort((a, b) => bounds[a]! - bounds[b]!);
    const cells = order.flatMap((s, row) => series[s]!.times.map((t, i) => ({ from: Number(t), to: Number(t) + width, low: row, high: row + 1, count: Number(series[s]!.field.values[i] ?? 0) })));
    return series.length ? { cells, rows: order.map((s) => series[s]!.field.title), count: series[0]!.field } : undefined;
  }
  return undefined;
}

function colors({ panel, theme }: Context): string[] {
  const c = panel.options?.color ?? {};
  if (c.mode === "opacity") return [withAlpha(colorOf(theme, c.fill ?? "blue"), 0), colorOf(theme, c.fill ?? "blue")].map((x, i) => (i ? x : theme.background));
  return scaleStops(theme, c.scheme || "Oranges", c.reverse);
}

/** Counts that have a cell: none of them is zero unless the panel's filter says otherwise. */
function shown({ panel, data, range }: Context) {
  const found = cellsOf(data, range.step * 1000);
  const { ge = 1e-9, le = Infinity } = panel.options?.filterValues ?? {};
  const cells = found?.cells.filter((c) => c.count >= ge && c.count <= le) ?? [];
  const low = panel.options?.color?.min ?? cells.reduce((a, c) => Math.min(a, c.count), Infinity);
  const high = panel.options?.color?.max ?? cells.reduce((a, c) => Math.max(a, c.count), -Infinity);
  return { found, cells, low, high };
}

const countText = (context: Context, field: Field, v: number) => {
  const { unit, decimals } = context.panel.options?.cellValues ?? {};
  return unit ? joined(formatOf(unit)(v, decimals)) : field.display(v).text;
};

function ramp(context: Context) {
  const { found, cells, low, high } = shown(context);
  if (!found || cells.length === 0 || context.panel.options?.legend?.show === false) return undefined;
  return { colors: colors(context), low: countText(context, found.count, low), high: countText(context, found.count, high) };
}

function draw(context: Context): Drawing {
  const { panel, theme, range, width, height } = context;
  const { found, cells, low, high } = shown(context);
  const y = panel.options?.yAxis ?? {};
  const rows = found?.rows;
  const plotHeight = Math.max(height - 34, 10);
  const format = formatOf(y.unit);
  const say = (v: number) => trimmed(format(v, y.decimals ?? undefined));
  const bounds = (found?.cells ?? []).flatMap((c) => [c.low, c.high]);
  // Buckets that grow by a factor are read on a logarithmic scale.
  const widths = (found?.cells ?? []).map((c) => c.high - c.low);
  const log = !rows && bounds.length > 0 && Math.min(...bounds.filter((b) => b > 0)) > 0 && Math.max(...widths) > 4 * Math.min(...widths);
  const floor = log ? bounds.filter((b) => b > 0).reduce((a, b) => Math.min(a, b), Infinity) : 0;
  const place = (v: number) => (log ? Math.log10(Math.max(v, floor / 2)) : v);
  const least = bounds.reduce((a, b) => Math.min(a, place(b)), Infinity);
  const most = bounds.reduce((a, b) => Math.max(a, place(b)), -Infinity);
  const ticks = rows || log ? undefined : niceTicks(least, most, Math.max(2, plotHeight / 34), y.unit, { min: y.min ?? least, max: y.max ?? most });
  const every = Math.max(1, Math.ceil((rows?.length ?? 0) / Math.max(plotHeight / 16, 1)));
  const marks = rows ? rows.map((_, i) => i + 0.5).filter((_, i) => i % every === 0) : log ? [...new Set(bounds.map(place))].sort((a, b) => a - b) : ticks!.values;
  const apart = marks.filter((m, i) => i === 0 || rows || !log || ((m - least) / (most - least)) * plotHeight > 0);
  const label = (v: number) => (rows ? (rows[Math.floor(v)] ?? "") : say(log ? Number((10 ** v).toPrecision(6)) : v));
  const left = Math.min(apart.reduce((w, m) => Math.max(w, widthOf(label(m))), 10) + 12, width * 0.35) + (y.axisLabel ? 16 : 0);
  const plot = { left, top: 8, width: Math.max(width - left - 14, 10), height: plotHeight };
  const stops = colors(context);
  const { scale, exponent = 0.5, steps = 64 } = panel.options?.color ?? {};
  const colorFor = (n: number) => {
    const share = high > low ? (n - low) / (high - low) : 1;
    const bent = scale === "linear" ? share : share ** (exponent || 0.5);
    return alongScale(stops, Math.round(Math.min(Math.max(bent, 0), 1) * (steps - 1)) / (steps - 1));
  };
  const gap = panel.options?.cellGap ?? 1;
  const series: CustomSeriesOption = {
    type: "custom", id: "cells", silent: true, clip: true, dimensions: ["from", "low"], data: cells.map((c) => [c.from, place(c.low)]),
    renderItem: (params, api) => {
      const c = cells[params.dataIndex]!;
      const [x1, y1] = api.coord([c.from, place(c.low)]) as [number, number];
      const [x2, y2] = api.coord([c.to, place(c.high)]) as [number, number];
      return { type: "rect", shape: { x: x1, y: y2, width: Math.max(x2 - x1 - gap, 1), height: Math.max(y1 - y2 - gap, 1) }, style: { fill: colorFor(c.count) } };
    },
  };
  return {
    plot, span: { from: range.from, to: range.to },
    option: {
      xAxis: timeAxis(range.from, range.to, plot.width, theme),
      yAxis: {
        type: "value", min: rows ? 0 : (ticks?.min ?? least), max: rows ? rows.length : (ticks?.max ?? most), inverse: y.reverse ?? false, axisLine: { show: false }, axisTick: { show: false, customValues: apart },
        splitLine: { show: false }, axisLabel: { color: theme.muted, fontSize: 11, margin: 6, customValues: apart, hideOverlap: true, formatter: label, width: left - 10, overflow: "truncate" },
        name: y.axisLabel, nameLocation: "middle", nameGap: left - 14, nameTextStyle: { color: theme.muted, fontSize: 11 },
      },
      series: [series, annotationSeries(context)],
    } as Option,
    tip: (px, py) => {
      const t = range.from + (px / plot.width) * (range.to - range.from);
      const bottom = rows ? 0 : (ticks?.min ?? least);
      const upper = rows ? rows.length : (ticks?.max ?? most);
      const share = y.reverse ? py / plot.height : 1 - py / plot.height;
      const v = bottom + share * (upper - bottom);
      const c = found?.cells.find((k) => t >= k.from && t < k.to && v >= place(k.low) && v < place(k.high));
      if (!c || !found) return undefined;
      return {
        head: `${isoTime(c.from)} to ${isoTime(c.to)} UTC`,
        rows: [{ name: rows ? rows[c.low]! : `${say(c.low)} to ${say(c.high)}`, value: countText(context, found.count, c.count), color: c.count > 0 ? colorFor(c.count) : undefined }],
      };
    },
  };
}

export const heatmap: Kind = { legend: () => [], ramp, draw };
