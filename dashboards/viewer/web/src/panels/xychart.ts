// XY charts: points (and lines) of one number over another. Columns named low and high (or lower and upper, alone or
// behind the y column's name) are the ends of error bars.
import type { CustomSeriesOption, ScatterSeriesOption } from "echarts/types/dist/shared";
import { isShown, matches, type Data, type Field } from "../format/field";
import { colorOf, withAlpha } from "../format/theme";
import type { FieldMatcher } from "../model";
import { axesOf, buildAxes, keyOf } from "./axes";
import type { Context, Drawing, Kind, Option } from "./chart";
import { niceTicks, tickText } from "./ticks";
import { legendItems } from "./timeseries";

export interface XYSeries {
  x: Field;
  y: Field;
  low?: Field;
  high?: Field;
  size?: Field;
  title: string;
  /** What names the points. */
  names: Field[];
}

const lowEnd = /^(.*_)?(low|lower)$/i;
const highEnd = /^(.*_)?(high|upper)$/i;

export function xySeriesOf({ panel, data }: Pick<Context, "panel" | "data">): XYSeries[] {
  const find = (d: Data, m: FieldMatcher | undefined) => (m ? d.fields.find((f) => matches(m.matcher, f, d.ref)) : undefined);
  const end = (d: Data, y: Field, pattern: RegExp) => d.fields.find((f) => f.type === "number" && f !== y && pattern.test(f.name) && (f.name.startsWith(`${y.name}_`) || !f.name.includes("_")));
  const complete = (d: Data, x: Field, y: Field, more: { size?: Field; title?: string }): XYSeries => ({
    x, y, low: end(d, y, lowEnd), high: end(d, y, highEnd), size: more.size, title: more.title ?? y.title, names: d.fields.filter((f) => f.type === "string"),
  });
  if (panel.options?.mapping === "manual") {
    return (panel.options.series ?? []).flatMap((s) =>
      data.flatMap((d) => {
        const x = find(d, s.x) ?? d.fields.find((f) => f.type === "number");
        const y = find(d, s.y);
        return x && y ? [complete(d, x, y, { size: find(d, s.size), title: s.name?.fixed })] : [];
      }),
    );
  }
  return data.flatMap((d) => {
    const [x, ...ys] = d.fields.filter((f) => f.type === "number" && !lowEnd.test(f.name) && !highEnd.test(f.name));
    return x ? ys.filter(isShown).map((y) => complete(d, x, y, {})) : [];
  });
}

const colored = (c: Context, s: XYSeries, i: number) => colorOf(c.theme, s.y.config.color?.mode === "fixed" ? s.y.config.color.fixedColor : `palette:${i}`);
const num = (f: Field | undefined, i: number) => (typeof f?.values[i] === "number" ? f.values[i] : null);

function legend(c: Context) {
  return legendItems(c, xySeriesOf(c).map((s, i) => ({ field: s.y, title: s.title, color: colored(c, s, i) })));
}

function extent(values: (number | null)[]) {
  const given = values.filter((v) => v !== null);
  return { low: given.reduce((a, b) => Math.min(a, b), Infinity), high: given.reduce((a, b) => Math.max(a, b), -Infinity) };
}

function draw(context: Context): Drawing {
  const { theme, hidden, width, height } = context;
  const all = xySeriesOf(context);
  const series = all.map((s, i) => ({ ...s, color: colored(context, s, i), dashed: i >= theme.palette.length, id: i })).filter((s) => !hidden.has(s.title));
  const x = series[0]?.x;
  if (!x) return { option: {}, plot: { left: 0, top: 0, width, height } };
  const rows = (s: XYSeries) => s.y.values.map((_, i) => i).filter((i) => num(s.x, i) !== null && num(s.y, i) !== null);
  const pad = ({ low, high }: { low: number; high: number }, f: Field) => {
    const room = (high - low) * 0.04 || Math.abs(high) * 0.1 || 1;
    return { field: f, low: low >= 0 ? Math.max(low - room, 0) : low - room, high: high + room };
  };
  const axes = axesOf(series.map((s) => pad(extent([s.y, s.low, s.high].flatMap((f) => (f ? f.values.map((_, i) => num(f, i)) : []))), s.y)));
  const xLabel = x.config.custom.axisLabel || x.title;
  const plotHeight = Math.max(height - 50, 10);
  const built = buildAxes(axes, plotHeight, theme);
  const plot = { left: Math.max(built.left, 8), top: 10, width: 0, height: plotHeight };
  plot.width = Math.max(width - plot.left - Math.max(built.right, 16), 10);
  const xs = pad(extent(series.flatMap((s) => s.x.values.map((_, i) => num(s.x, i)))), x);
  const t = niceTicks(xs.low, xs.high, Math.max(2, plot.width / 70), x.config.unit, { min: x.config.min ?? undefined, max: x.config.max ?? undefined });
  const axisOf = (s: XYSeries) => axes.findIndex((a) => a.key === keyOf(s.y));
  const sizeOf = (s: XYSeries) => {
    const p = s.y.config.custom.pointSize;
    return typeof p === "number" ? p : (p?.fixed ?? 7);
  };
  const parts = series.flatMap((s) => {
    const c = s.y.config.custom;
    const at = rows(s);
    const show = c.show ?? "points";
    const points: ScatterSeriesOption = {
      type: "scatter", id: `points-${s.id}`, name: s.title, yAxisIndex: axisOf(s), silent: true, z: 4, symbol: c.pointShape === "square" ? "rect" : s.dashed ? "diamond" : "circle", symbolSize: sizeOf(s),
      data: at.map((i) => [num(s.x, i)!, num(s.y, i)!]), itemStyle: { color: withAlpha(s.color, (c.fillOpacity ?? 50) / 100), borderColor: s.color, borderWidth: 1 },
    };
    const bars: CustomSeriesOption = {
      type: "custom", id: `bars-${s.id}`, yAxisIndex: axisOf(s), silent: true, z: 3, clip: true, data: at.map((i) => [num(s.x, i)!, num(s.low, i), num(s.high, i)]),
      renderItem: (params, api) => {
        const i = at[params.dataIndex]!;
        const [low, high] = [num(s.low, i), num(s.high, i)];
        if (low === null || high === null) return { type: "group", children: [] };
        const [px, top] = api.coord([num(s.x, i)!, high]) as [number, number];
        const bottom = api.coord([num(s.x, i)!, low])[1]!;
        const line = (x1: number, y1: number, x2: number, y2: number) => ({ type: "line" as const, shape: { x1, y1, x2, y2 }, style: { stroke: s.color, lineWidth: 1.2, opacity: 0.8 } });
        return { type: "group", children: [line(px, top, px, bottom), line(px - 3, top, px + 3, top), line(px - 3, bottom, px + 3, bottom)] };
      },
    };
    const line = { type: "line", id: `line-${s.id}`, yAxisIndex: axisOf(s), silent: true, symbol: "none", data: points.data, lineStyle: { color: s.color, width: c.lineWidth ?? 1, type: s.dashed ? "dashed" : "solid" } };
    return [...(show.includes("lines") ? [line] : []), ...(s.low && s.high ? [bars] : []), ...(show.includes("points") ? [points] : [])];
  });
  return {
    plot,
    option: {
      xAxis: {
        type: "value", min: t.min, max: t.max, interval: t.step, name: xLabel, nameLocation: "middle", nameGap: 24, nameTextStyle: { color: theme.muted, fontSize: 11 }, axisLine: { lineStyle: { color: theme.grid } }, axisTick: { show: false },
        axisLabel: { color: theme.muted, fontSize: 11, hideOverlap: true, formatter: (v: number) => tickText(x, v) }, splitLine: { lineStyle: { color: theme.grid, opacity: 0.6 } },
      },
      yAxis: built.options, series: parts,
    } as Option,
    tip: (px, py) => {
      const candidates = series.flatMap((s) => {
        const r = built.ranges[axisOf(s)]!;
        return rows(s).map((i) => ({ s, i, d: Math.hypot(((num(s.x, i)! - t.min) / (t.max - t.min)) * plot.width - px, (1 - (num(s.y, i)! - r.min) / (r.max - r.min)) * plot.height - py) }));
      });
      const best = candidates.reduce<(typeof candidates)[number] | undefined>((a, b) => (a && a.d <= b.d ? a : b), undefined);
      if (!best || best.d > 30) return undefined;
      const { s, i } = best;
      const fields = [s.x, s.y, ...[s.low, s.high, s.size].filter((f) => f !== undefined)];
      return { head: s.names.map((f) => f.display(f.values[i] ?? null).text).join(" ") || s.title, rows: fields.map((f) => ({ name: f.title, value: f.display(f.values[i] ?? null).text, color: f === s.y ? s.color : undefined })) };
    },
  };
}

export const xychart: Kind = { legend, draw };
