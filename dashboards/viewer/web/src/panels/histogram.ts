// Histograms: of raw values, or of buckets that the query counted.
import type { CustomSeriesOption } from "echarts/types/dist/shared";
import { isNumeric, isShown, type Data, type Field } from "../format/field";
import { colorOf, withAlpha } from "../format/theme";
import { axesOf, buildAxes } from "./axes";
import type { Context, Drawing, Kind, Option } from "./chart";
import { niceStep, niceTicks, tickText } from "./ticks";
import { legendItems } from "./timeseries";
import type { Options } from "../model";

export interface Bucket {
  low: number;
  high: number;
}

export interface Histogram {
  buckets: Bucket[];
  /** Counts by bucket. */
  series: { field: Field; counts: number[] }[];
  /** What the buckets divide. */
  value: Field;
}

const lowName = /^(x_?min|bucket_?(low|min|from|start)?|low|lower|from)$/i;
const highName = /^(x_?max|bucket_?(high|max|to|end)|high|upper|to)$/i;

export function histogramOf(data: Data[], options: Options): Histogram | undefined {
  const numbers = data.flatMap((d) => d.fields.filter((f) => f.type === "number"));
  const low = numbers.find((f) => lowName.test(f.name));
  const high = numbers.find((f) => f !== low && highName.test(f.name));
  if (low && high) {
    const counted = numbers.filter((f) => f !== low && f !== high);
    return { buckets: low.values.map((v, i) => ({ low: Number(v), high: Number(high.values[i]) })), series: counted.map((field) => ({ field, counts: field.values.map(Number) })), value: low };
  }
  const fields = data.flatMap((d) => d.fields.filter((f) => isNumeric(f) && isShown(f)));
  const all = fields.flatMap((f) => f.values.filter((v) => typeof v === "number"));
  if (all.length === 0) return undefined;
  const least = all.reduce((a, b) => Math.min(a, b));
  const most = all.reduce((a, b) => Math.max(a, b));
  const size = options.bucketSize || niceStep(most - least || 1, options.bucketCount ?? 30, undefined);
  const offset = options.bucketOffset ?? 0;
  const first = Math.floor((least - offset) / size);
  const count = Math.floor((most - offset) / size) - first + 1;
  const buckets = Array.from({ length: count }, (_, i) => ({ low: (first + i) * size + offset, high: (first + i + 1) * size + offset }));
  const tally = (values: Field["values"]) => {
    const counts = buckets.map(() => 0);
    for (const v of values) if (typeof v === "number") counts[Math.floor((v - offset) / size) - first]!++;
    return counts;
  };
  const series = options.combine ? [{ field: { ...fields[0]!, title: "Combined" }, counts: tally(all) }] : fields.map((field) => ({ field, counts: tally(field.values) }));
  return { buckets, series, value: fields[0]! };
}

const colored = (context: Context, f: Field) => colorOf(context.theme, f.config.color?.mode === "fixed" ? f.config.color.fixedColor : `palette:${f.tone}`);

const legend: Kind["legend"] = (c) => legendItems(c, (histogramOf(c.data, c.panel.options ?? {})?.series ?? []).map(({ field }) => ({ field, title: field.title, color: colored(c, field) })));

function draw(context: Context): Drawing {
  const { panel, data, theme, hidden, width, height } = context;
  const h = histogramOf(data, panel.options ?? {});
  if (!h) return { option: {}, plot: { left: 0, top: 0, width, height } };
  const shown = h.series.filter((s) => isShown(s.field) && !hidden.has(s.field.title));
  // Counts have no unit of the value's; its axis label names the counts.
  const countField: Field = { ...h.value, config: { custom: { axisLabel: h.series[0]?.field.config.custom.axisLabel || "count" } }, display: (v) => ({ text: String(v), parts: { prefix: "", text: String(v), suffix: "" }, share: 0 }) };
  const axes = axesOf([{ field: countField, low: 0, high: shown.flatMap((s) => s.counts).reduce((a, b) => Math.max(a, b), 0) }]);
  const plotHeight = Math.max(height - 34, 10);
  const built = buildAxes(axes, plotHeight, theme);
  const plot = { left: built.left, top: 10, width: Math.max(width - built.left - 14, 10), height: plotHeight };
  const from = h.buckets[0]!.low;
  const to = h.buckets.at(-1)!.high;
  const ticks = niceTicks(from, to, Math.max(2, plot.width / 70), h.value.config.unit, { min: from, max: to });
  const series = shown.map(({ field, counts }): CustomSeriesOption => {
    const color = colored(context, field);
    const c = field.config.custom;
    return {
      type: "custom", id: `${field.index}`, name: field.title, silent: true, clip: true, data: h.buckets.map((b, i) => [b.low, counts[i]!]),
      renderItem: (params, api) => {
        const b = h.buckets[params.dataIndex]!;
        const [x1, y1] = api.coord([b.low, counts[params.dataIndex]!]) as [number, number];
        const [x2, y2] = api.coord([b.high, 0]) as [number, number];
        return { type: "rect", shape: { x: x1 + 0.5, y: y1, width: Math.max(x2 - x1 - 1, 1), height: y2 - y1 }, style: { fill: withAlpha(color, (c.fillOpacity ?? 80) / 100), stroke: color, lineWidth: c.lineWidth ?? 1 } };
      },
    };
  });
  return {
    plot,
    option: {
      xAxis: {
        type: "value", min: from, max: to, axisLine: { lineStyle: { color: theme.grid } }, axisTick: { show: false, customValues: ticks.values }, splitLine: { show: false },
        axisLabel: { color: theme.muted, fontSize: 11, customValues: ticks.values, hideOverlap: true, formatter: (v: number) => tickText(h.value, v) },
      },
      yAxis: built.options, series,
    } as Option,
    tip: (px) => {
      const v = from + (px / plot.width) * (to - from);
      const i = h.buckets.findIndex((b) => v >= b.low && v < b.high);
      if (i < 0) return undefined;
      const b = h.buckets[i]!;
      return { head: `${h.value.display(b.low).text} to ${h.value.display(b.high).text}`, rows: shown.map((s) => ({ name: s.field.title, value: String(s.counts[i]), color: colored(context, s.field) })) };
    },
  };
}

export const histogram: Kind = { legend, draw };
