// Time series and trends: lines, bars and points over time or over a number.
import type { CustomSeriesOption, LineSeriesOption } from "echarts/types/dist/shared";
import { hasValue, isNumeric, isShown, type Data, type Field } from "../format/field";
import { keepsUnit, reduce } from "../format/reduce";
import { colorOf, withAlpha, type Theme } from "../format/theme";
import { isoTime } from "../format/units";
import { axesOf, buildAxes, keyOf, type Axis } from "./axes";
import type { Context, Drawing, Kind, Option, Tip } from "./chart";
import type { LegendItem } from "./legend";
import { niceTicks, tickText, timeTicks } from "./ticks";

export interface Series {
  field: Field;
  title: string;
  color: string;
  dashed: boolean;
  x: (number | null)[];
  y: (number | null)[];
}

type AnySeries = NonNullable<Extract<Option["series"], unknown[]>>[number];

const asNumber = (v: unknown): number | null => (typeof v === "number" ? v : typeof v === "boolean" ? Number(v) : null);

/** The field that a panel's series run along, and the others that are numbers. */
export function xOf(data: Data, name: string | undefined, time: boolean): Field | undefined {
  if (time) return data.fields.find((f) => f.type === "time");
  return data.fields.find((f) => (name ? f.name === name || f.title === name : f.type === "number"));
}

/** Every numeric field over its frame's x; from the ninth on they are dashed, since the palette begins anew. */
export function seriesOf({ data, theme, panel }: Pick<Context, "data" | "theme" | "panel">): Series[] {
  const time = panel.type !== "trend";
  const series = data.flatMap((d) => {
    const x = xOf(d, panel.options?.xField, time);
    if (!x) return [];
    const order = x.values.map((_, i) => i).sort((a, b) => Number(x.values[a]) - Number(x.values[b]));
    const pick = (f: Field) => order.map((i) => asNumber(f.values[i]));
    return d.fields.filter((f) => f !== x && isNumeric(f)).map((field) => ({ field, title: field.title, color: seriesColor(field, theme), dashed: field.tone >= theme.palette.length && field.config.color?.mode !== "fixed", x: pick(x), y: pick(field) }));
  });
  return series;
}

/** A series has one colour: by a scale or thresholds it is that of its last value. */
function seriesColor(field: Field, theme: Theme): string {
  const last = reduce(field.values, field.config.color?.seriesBy ?? "lastNotNull");
  return colorOf(theme, field.display(last).color ?? (field.config.color?.mode === "fixed" ? field.config.color.fixedColor : `palette:${field.tone}`));
}

export function legendItems(context: Context, series: { field: Field; title: string; color: string; dashed?: boolean }[]): LegendItem[] {
  const calcs = context.panel.options?.legend?.calcs ?? [];
  const text = (f: Field, id: string) => {
    const v = reduce(f.values, id);
    return keepsUnit(id) ? f.display(v).text : v === null ? "" : String(v);
  };
  // Names of nothing are left out; those of zeros alone say the least, and come last.
  const flat = ({ field }: { field: Field }) => Number(field.values.every((v) => !v));
  return series
    .filter(({ field }) => isShown(field) && !field.config.custom.hideFrom?.legend && hasValue(field))
    .toSorted((a, b) => flat(a) - flat(b))
    .map(({ field, title, color, dashed }) => ({ title, color, dashed, band: field.config.custom.lineWidth === 0 && (field.config.custom.fillOpacity ?? 0) > 0, calcs: calcs.map((c) => text(field, c)) }));
}

interface Stack {
  base: (number | null)[];
  top: (number | null)[];
}

/** Where stacked series begin and end at each moment. */
function stacked(series: Series[]): Map<Series, Stack> {
  const groups = new Map<string, Series[]>();
  for (const s of series.filter(isStacked)) {
    const key = JSON.stringify([s.field.config.custom.stacking!.group, s.field.config.custom.drawStyle, keyOf(s.field)]);
    groups.set(key, [...(groups.get(key) ?? []), s]);
  }
  const stacks = new Map<Series, Stack>();
  for (const group of groups.values()) {
    const total = new Map<number | null, number>();
    for (const s of group) s.x.forEach((x, i) => total.set(x, (total.get(x) ?? 0) + Math.abs(s.y[i] ?? 0)));
    const sum = new Map<number | null, number>();
    for (const s of group) {
      const percent = s.field.config.custom.stacking!.mode === "percent";
      const base = s.x.map((x, i) => (s.y[i] === null ? null : (sum.get(x) ?? 0)));
      s.x.forEach((x, i) => sum.set(x, (sum.get(x) ?? 0) + (s.y[i] ?? 0) / (percent ? total.get(x) || 1 : 1)));
      stacks.set(s, { base, top: s.x.map((x, i) => (s.y[i] === null ? null : sum.get(x)!)) });
    }
  }
  return stacks;
}
const isStacked = (s: Series) => (s.field.config.custom.stacking?.mode ?? "none") !== "none";

const dash = (s: Series): "solid" | "dashed" | "dotted" | number[] => {
  const style = s.field.config.custom.lineStyle;
  if (style?.dash) return style.dash;
  if (style?.fill === "dot") return "dotted";
  return style?.fill === "dash" || s.dashed ? "dashed" : "solid";
};

/** Gaps that are as short as spanNulls allows are left out, so that the line goes on. */
function points(s: Series, top: (number | null)[]): [number, number | null][] {
  const span = s.field.config.custom.spanNulls;
  const all = s.x.flatMap((x, i): [number, number | null][] => (x === null ? [] : [[x, top[i] ?? null]]));
  if (span === true) return all.filter(([, y]) => y !== null);
  if (typeof span !== "number") return all;
  let before = -Infinity;
  const after = new Array<number>(all.length);
  for (let i = all.length - 1, next = Infinity; i >= 0; i--) {
    if (all[i]![1] !== null) next = all[i]![0];
    after[i] = next;
  }
  return all.filter(([x, y], i) => {
    if (y !== null) before = x;
    return y !== null || after[i]! - before > span;
  });
}

/** The step between neighbouring points, in the x axis' own measure. */
function stepOf(series: Series[]): number {
  let least = Infinity;
  for (const { x } of series) for (let i = 1; i < x.length; i++) if (x[i]! > x[i - 1]!) least = Math.min(least, x[i]! - x[i - 1]!);
  return least;
}

const interpolation = { linear: {}, smooth: { smooth: 0.35, smoothMonotone: "x" }, stepAfter: { step: "end" }, stepBefore: { step: "start" } } as const;

function lineSeries(s: Series, data: [number, number | null][], yAxisIndex: number, plotWidth: number, base: Series | undefined): LineSeriesOption {
  const c = s.field.config.custom;
  const onlyPoints = c.drawStyle === "points";
  const show = onlyPoints ? "always" : (c.showPoints ?? "auto");
  const every = show === "always" || (show === "auto" && data.length > 0 && data.length < plotWidth / 24);
  const symbolSize = typeof c.pointSize === "number" ? c.pointSize : 5;
  // A point without neighbours has no line: without a symbol it would not be seen.
  const alone = (i: number) => data[i]![1] !== null && (data[i - 1]?.[1] ?? null) === null && (data[i + 1]?.[1] ?? null) === null;
  return {
    type: "line", id: `${s.field.index}`, name: s.title, yAxisIndex, silent: true, z: c.lineWidth === 0 ? 1 : 3,
    data: every || data.length > plotWidth ? data : data.map((value, i) => (alone(i) ? { value, symbol: "circle" } : value)),
    showSymbol: true, symbol: every ? (s.dashed ? "emptyCircle" : "circle") : "none", symbolSize,
    sampling: isStacked(s) || onlyPoints || base ? undefined : "lttb", clip: true,
    ...interpolation[c.lineInterpolation ?? "linear"],
    lineStyle: { color: s.color, width: onlyPoints ? 0 : (c.lineWidth ?? 1), type: dash(s), opacity: onlyPoints ? 0 : 1 }, itemStyle: { color: s.color },
    ...(c.fillOpacity && !base && !c.fillBelowTo ? { areaStyle: { color: s.color, opacity: c.fillOpacity / 100, origin: isStacked(s) ? undefined : "auto" } } : {}),
  } as LineSeriesOption;
}

/** The area between a series and the one below it, as polygons over unbroken stretches. */
function bandSeries(upper: Series, top: (number | null)[], bottom: (number | null)[], yAxisIndex: number, opacity: number, stepped: boolean): CustomSeriesOption {
  return {
    type: "custom", id: `band-${upper.field.index}-${stepped}`, yAxisIndex, silent: true, z: 2, clip: true, data: [[0, 0]],
    renderItem: (_params, api) => {
      const children: { type: "polygon"; shape: { points: number[][] }; style: { fill: string } }[] = [];
      let up: number[][] = [];
      let down: number[][] = [];
      const close = () => {
        if (up.length > 1) children.push({ type: "polygon", shape: { points: [...up, ...down.reverse()] }, style: { fill: withAlpha(upper.color, opacity) } });
        up = [];
        down = [];
      };
      upper.x.forEach((x, i) => {
        const high = top[i] ?? null;
        const low = bottom[i] ?? null;
        if (x === null || high === null || low === null) return close();
        const [px, a] = api.coord([x, high]) as [number, number];
        const b = api.coord([x, low])[1]!;
        if (stepped && up.length) {
          up.push([px, up.at(-1)![1]!]);
          down.push([px, down.at(-1)![1]!]);
        }
        up.push([px, a]);
        down.push([px, b]);
      });
      close();
      return { type: "group", children };
    },
  };
}

/** Lines and areas of the thresholds of a field that asks for them. */
function thresholdMarks({ config }: Field, theme: Theme, range: { min: number; max: number }) {
  const style = config.custom.thresholdsStyle?.mode ?? "off";
  const steps = config.thresholds?.steps ?? [];
  if (style === "off" || steps.length === 0) return {};
  const value = (v: number) => (config.thresholds?.mode === "percentage" ? range.min + (v / 100) * (range.max - range.min) : v);
  const at = steps.map((s) => (s.value === null ? -Infinity : value(s.value)));
  const lines = steps.flatMap((s, i) => (Number.isFinite(at[i]) && s.color !== "transparent" ? [{ yAxis: at[i]!, lineStyle: { color: colorOf(theme, s.color), width: 1, type: style.includes("dashed") ? ("dashed" as const) : ("solid" as const), opacity: 0.9 } }] : []));
  const areas = steps.flatMap((s, i): [{ yAxis: number; itemStyle: { color: string } }, { yAxis: number }][] => {
    const [from, to] = [Math.max(at[i]!, range.min), Math.min(at[i + 1] ?? Infinity, range.max)];
    return s.color === "transparent" || from >= to ? [] : [[{ yAxis: from, itemStyle: { color: withAlpha(colorOf(theme, s.color), 0.1) } }, { yAxis: to }]];
  });
  return {
    ...(style.includes("line") || style.includes("dashed") ? { markLine: { silent: true, symbol: "none", label: { show: false }, animation: false, data: lines } } : {}),
    ...(style.includes("area") ? { markArea: { silent: true, animation: false, data: areas } } : {}),
  };
}

/** What happened, as lines and areas over the whole height. */
export function annotationSeries({ annotations, theme, range }: Context): AnySeries {
  const shown = annotations.filter((a) => a.time <= range.to && (a.timeEnd ?? a.time) >= range.from);
  return {
    type: "line", id: "annotations", data: [], silent: true,
    markLine: {
      silent: true, symbol: "none", label: { show: false }, animation: false,
      data: shown.filter((a) => a.time >= range.from).map((a) => ({ xAxis: a.time, lineStyle: { color: colorOf(theme, a.color), type: "dashed", width: 1, opacity: 0.8 } })),
    },
    markArea: {
      silent: true, animation: false,
      data: shown.filter((a) => a.timeEnd !== null).map((a) => [{ xAxis: Math.max(a.time, range.from), itemStyle: { color: withAlpha(colorOf(theme, a.color), 0.12) } }, { xAxis: Math.min(a.timeEnd!, range.to) }]),
    },
  } as AnySeries;
}

/** The index of the point nearest to x. */
export function nearest(xs: (number | null)[], x: number): number {
  let low = 0;
  let high = xs.length - 1;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (xs[middle]! < x) low = middle + 1;
    else high = middle;
  }
  return low > 0 && x - xs[low - 1]! <= xs[low]! - x ? low - 1 : low;
}

/** An x axis over time with labels in UTC, or over numbers. */
export function timeAxis(from: number, to: number, width: number, theme: Theme): Option["xAxis"] {
  const ticks = timeTicks(from, to, Math.max(2, Math.floor(width / 70)));
  return {
    // Bars at the ends must not stretch the axis: marks and the pointer rely on its range.
    type: "time", min: from, max: to, containShape: false, axisLine: { lineStyle: { color: theme.grid } }, axisTick: { show: false, customValues: ticks.values },
    axisLabel: { color: theme.muted, fontSize: 11, margin: 11, customValues: ticks.values, formatter: (v: number) => ticks.label(v), hideOverlap: true }, splitLine: { show: true, lineStyle: { color: theme.grid, opacity: 0.6 } },
  } as Option["xAxis"];
}

function draw(context: Context): Drawing {
  const { panel, theme, range, hidden, width, height } = context;
  const time = panel.type !== "trend";
  const every = seriesOf(context);
  const series = every.filter((s) => isShown(s.field) && !hidden.has(s.title));
  const stacks = stacked(series);
  const top = (s: Series) => stacks.get(s)?.top ?? s.y;

  const fields = series.map((s) => {
    const given = top(s).filter((v) => v !== null);
    const bars = s.field.config.custom.drawStyle === "bars" || stacks.has(s);
    const low = given.reduce((a, b) => Math.min(a, b), bars ? 0 : Infinity);
    return { field: s.field, low, high: given.reduce((a, b) => Math.max(a, b), bars ? 0 : -Infinity) };
  });
  const axes: Axis[] = axesOf(fields);
  const xField = time ? undefined : context.data.map((d) => xOf(d, panel.options?.xField, false)).find(Boolean);
  const xLabel = xField?.config.custom.axisLabel;
  const bottom = 26 + (xLabel ? 16 : 0);
  const built = buildAxes(axes, height - 10 - bottom, theme);
  const plot = { left: Math.max(built.left, 8), top: 10, width: 0, height: Math.max(height - 10 - bottom, 10) };
  plot.width = Math.max(width - plot.left - Math.max(built.right, 14), 10);

  const xs = every.flatMap((s) => s.x).filter((v) => v !== null);
  const xTicks = xField ? niceTicks(xs.reduce((a, b) => Math.min(a, b), Infinity), xs.reduce((a, b) => Math.max(a, b), -Infinity), Math.max(2, Math.floor(plot.width / 80)), xField.config.unit, { min: xs.length ? xs.reduce((a, b) => Math.min(a, b), Infinity) : 0, max: xs.length ? xs.reduce((a, b) => Math.max(a, b), -Infinity) : 1 }) : undefined;
  const from = xTicks?.min ?? range.from;
  const to = xTicks?.max ?? range.to;
  const step = stepOf(series);
  const barWidth = Math.max(1, Math.min(60, (Number.isFinite(step) ? (step / (to - from)) * plot.width : 40) * 0.6));

  const drawn = series.flatMap((s): AnySeries[] => {
    const c = s.field.config.custom;
    const axis = axes.findIndex((a) => a.key === keyOf(s.field));
    const data = points(s, top(s));
    const parts: AnySeries[] = [];
    const below = c.fillBelowTo ? series.find((o) => o.title === c.fillBelowTo || o.field.name === c.fillBelowTo) : undefined;
    const stepped = c.lineInterpolation === "stepAfter";
    const fill = (c.fillOpacity ?? (below ? 35 : 0)) / 100;
    if (below) {
      const bottoms = new Map(below.x.map((x, i) => [x, top(below)[i] ?? null]));
      parts.push(bandSeries(s, top(s), s.x.map((x) => bottoms.get(x) ?? null), axis, fill, stepped));
    } else if (stacks.has(s) && c.drawStyle !== "bars" && fill > 0) {
      parts.push(bandSeries(s, top(s), stacks.get(s)!.base, axis, fill, stepped));
    }
    if (c.drawStyle === "bars") {
      // Stacked bars are laid upon each other by their index, so that none may be left out.
      const stack = stacks.get(s);
      parts.push({
        type: "bar", id: `${s.field.index}`, name: s.title, yAxisIndex: axis, silent: true, stack: stack && `${axis} ${c.stacking?.group}`, barGap: "-100%", barWidth, z: 2,
        data: (stack ? s.x.map((x, i) => [x, s.y[i] === null ? null : stack.top[i]! - stack.base[i]!]) : data).filter(([, y]) => stack || y !== 0), itemStyle: { color: withAlpha(s.color, (c.fillOpacity ?? 0) / 100), borderColor: s.color, borderWidth: c.lineWidth ?? 1 },
      } as AnySeries);
    } else parts.push(lineSeries(s, data, axis, plot.width, below ?? (stacks.has(s) ? s : undefined)));
    return parts;
  });
  const marks = axes.map((a, i) => ({ type: "line" as const, id: `marks-${i}`, yAxisIndex: i, data: [], silent: true, ...thresholdMarks(a.field, theme, built.ranges[i]!) }));

  const tip = (px: number, py: number): Tip | undefined => {
    const x = from + (px / plot.width) * (to - from);
    const near = every.flatMap((s) => {
      if (s.field.config.custom.hideFrom?.tooltip || hidden.has(s.title) || s.x.length === 0) return [];
      const i = nearest(s.x, x);
      const reach = Math.max(Number.isFinite(step) ? step : Infinity, ((to - from) / plot.width) * 12);
      return s.y[i] === null || Math.abs(s.x[i]! - x) > reach ? [] : [{ s, i, y: s.y[i]! }];
    });
    if (near.length === 0) return undefined;
    const anchor = near.reduce((a, b) => (Math.abs(b.s.x[b.i]! - x) < Math.abs(a.s.x[a.i]! - x) ? b : a));
    const height = (s: Series, i: number) => {
      const r = built.ranges[axes.findIndex((a) => a.key === keyOf(s.field))];
      return r ? plot.height * (1 - ((top(s)[i] ?? NaN) - r.min) / (r.max - r.min)) : NaN;
    };
    const closest = near.reduce((a, b) => (Math.abs(height(b.s, b.i) - py) < Math.abs(height(a.s, a.i) - py) ? b : a));
    const at = anchor.s.x[anchor.i]!;
    return {
      head: xField ? `${xField.title}: ${xField.display(at).text}` : `${isoTime(at, range.step < 1)} UTC`,
      rows: [
        ...tipRows(panel.options?.tooltip?.sort, near, closest).map((row) => ({ name: row.s.title, value: row.s.field.display(row.y).text, color: row.s.color, dashed: row.s.dashed, strong: near.length > 1 && row === closest })),
        ...(near.length > most ? [{ name: `+${near.length - most} more`, value: "" }] : []),
      ],
    };
  };
  return {
    plot, tip: panel.options?.tooltip?.mode === "none" ? undefined : tip, span: time ? { from, to } : undefined,
    option: {
      xAxis: time
        ? timeAxis(from, to, plot.width, theme)
        : ({
            type: "value", min: from, max: to, containShape: false, interval: xTicks?.step, name: xLabel, nameLocation: "middle", nameGap: 24, nameTextStyle: { color: theme.muted, fontSize: 11 }, axisLine: { lineStyle: { color: theme.grid } }, axisTick: { show: false, customValues: xTicks?.values },
            axisLabel: { color: theme.muted, fontSize: 11, hideOverlap: true, customValues: xTicks?.values, formatter: (v: number) => tickText(xField!, v) }, splitLine: { lineStyle: { color: theme.grid, opacity: 0.6 } },
          } as Option["xAxis"]),
      yAxis: built.options.length ? built.options : [{ type: "value", show: false }],
      series: [...(time ? [annotationSeries(context)] : []), ...marks, ...drawn],
    },
  };
}

/** Rows that a tooltip has room for. */
const most = 14;

/** Rows in the order that the panel asks for. Of too many, the one at the pointer stays, and then those that are not 0. */
export function tipRows<T extends { y: number }>(order: string | undefined, rows: T[], closest: T): T[] {
  const weight = (r: T) => (r === closest ? 2 : Number(r.y !== 0));
  const kept = new Set(rows.toSorted((a, b) => weight(b) - weight(a)).slice(0, most));
  const sorted = order === "desc" ? rows.toSorted((a, b) => b.y - a.y) : order === "asc" ? rows.toSorted((a, b) => a.y - b.y) : rows;
  return sorted.filter((r) => kept.has(r));
}

export const timeseries: Kind = { legend: (c) => legendItems(c, seriesOf(c)), draw };
