// Bars by category.
import type { BarSeriesOption } from "echarts/types/dist/shared";
import { isNumeric, isShown, type Data, type Field, type Value } from "../format/field";
import { colorOf, inkOn, withAlpha } from "../format/theme";
import { axesOf, buildAxes, keyOf } from "./axes";
import type { Context, Drawing, Kind, Option } from "./chart";
import type { LegendItem } from "./legend";
import { fitted, widthOf } from "./ticks";
import { legendItems } from "./timeseries";

interface Bars {
  frame: Data;
  category: Field;
  fields: Field[];
}

function barsOf({ data, panel }: Pick<Context, "data" | "panel">): Bars | undefined {
  const name = panel.options?.xField;
  for (const frame of data) {
    const category = frame.fields.find((f) => (name ? f.name === name || f.title === name : f.type === "string" || f.type === "time"));
    if (category) return { frame, category, fields: frame.fields.filter((f) => f !== category && isNumeric(f)) };
  }
  return undefined;
}

/** One colour for a field; where its mode goes by value, each bar has its own. */
function barColor(context: Context, frame: Data, f: Field, row: number): string {
  const mode = f.config.color?.mode ?? "palette-classic";
  const by = frame.fields.find((c) => c.name === context.panel.options?.colorByField);
  if (by) return colorOf(context.theme, by.display(by.values[row] ?? null).color ?? `palette:${f.tone}`);
  const own = f.display(f.values[row] ?? null).color;
  return colorOf(context.theme, mode.startsWith("palette-") ? (own ?? `palette:${f.tone}`) : own);
}

const num = (v: Value | undefined) => (typeof v === "number" ? v : v === true ? 1 : v === false ? 0 : null);

function legend(context: Context): LegendItem[] {
  const bars = barsOf(context);
  return bars ? legendItems(context, bars.fields.map((field) => ({ field, title: field.title, color: barColor(context, bars.frame, field, 0) }))) : [];
}

function draw(context: Context): Drawing {
  const { panel, theme, hidden, width, height } = context;
  const options = panel.options ?? {};
  const bars = barsOf(context);
  if (!bars) return { option: {}, plot: { left: 0, top: 0, width, height } };
  const { frame, category } = bars;
  const fields = bars.fields.filter((f) => isShown(f) && !hidden.has(f.title));
  const across = options.orientation === "horizontal" || (options.orientation !== "vertical" && width < height);
  const stacking = options.stacking ?? "none";
  const totals = category.values.map((_, i) => fields.reduce((sum, f) => sum + Math.abs(num(f.values[i]) ?? 0), 0));
  const value = (f: Field, i: number) => {
    const v = num(f.values[i]);
    return v !== null && stacking === "percent" ? v / (totals[i] || 1) : v;
  };

  const axes = axesOf(
    fields.map((field) => {
      const all = category.values.map((_, i) => (stacking === "none" ? value(field, i) : stacking === "percent" ? 1 : totals[i]!)).filter((v) => v !== null);
      return { field, low: Math.min(0, ...all), high: Math.max(0, ...all) };
    }),
  );
  const names = category.values.map((v) => category.display(v).text);
  const longest = Math.max(...names.map((n) => widthOf(n)), 10);
  const showValues = options.showValue ?? "auto";
  const built = buildAxes(axes, across ? width * 0.6 : height - 34, theme, across);
  const axisName = axes[0]?.field.config.custom.axisLabel;
  const room = Math.min(longest + 12, width * 0.4);
  const plot = across
    ? { left: room, top: 6, width: Math.max(width - room - 16 - (showValues === "never" ? 0 : 40), 10), height: Math.max(height - 30 - (axisName ? 14 : 0), 10) }
    : { left: Math.max(built.left, 8), top: showValues === "never" ? 8 : 18, width: 0, height: 0 };
  if (!across) {
    plot.width = Math.max(width - plot.left - Math.max(built.right, 10), 10);
    plot.height = Math.max(height - plot.top - 24, 10);
  }
  const slot = (across ? plot.height : plot.width) / Math.max(names.length, 1);
  const turned = !across && longest > slot && slot < 44;
  if (turned) plot.height = Math.max(plot.height - Math.min(longest, 70) * 0.7, 10);

  const perSlot = stacking === "none" ? Math.max(fields.length, 1) : 1;
  const barWidth = Math.max(1, Math.min(90, (slot * (perSlot > 1 ? (options.groupWidth ?? 0.7) : Math.min(options.barWidth ?? 0.97, 0.86))) / perSlot));
  const perUnit = built.ranges.map((r) => (across ? plot.width : plot.height) / (r.max - r.min));
  // A label inside a stack needs room in its own part of the bar.
  const inside = (f: Field, i: number, axis: number) => (across ? widthOf(f.display(f.values[i] ?? null).text) + 6 : 14) <= Math.abs(value(f, i) ?? 0) * perUnit[axis]!;
  const fits = (f: Field) => (across ? barWidth >= 11 : Math.max(...category.values.map((_, i) => widthOf(f.display(f.values[i] ?? null).text))) <= barWidth + 12);
  const series = fields.map((f): BarSeriesOption => {
    const axis = axes.findIndex((a) => a.key === keyOf(f));
    const c = f.config.custom;
    const labels = showValues === "always" || (showValues === "auto" && fits(f));
    return {
      type: "bar", id: `${f.index}`, name: f.title, silent: true, barWidth, barGap: "4%", stack: stacking === "none" ? undefined : `${axis}`,
      ...(across ? { xAxisIndex: axis } : { yAxisIndex: axis }),
      data: category.values.map((_, i) => {
        const color = barColor(context, frame, f, i);
        return { value: value(f, i) ?? "-", ...(labels && stacking !== "none" && !inside(f, i, axis) ? { label: { show: false } } : {}), itemStyle: { color: withAlpha(color, (c.fillOpacity ?? 80) / 100), borderColor: color, borderWidth: c.lineWidth ?? 1 } };
      }),
      label: {
        show: labels, position: stacking === "none" ? (across ? "right" : "top") : "inside", distance: 4, color: stacking === "none" ? theme.text : inkOn(barColor(context, frame, f, 0)), fontSize: 11,
        formatter: (p: { dataIndex: number }) => f.display(f.values[p.dataIndex] ?? null).text,
      },
      labelLayout: { hideOverlap: true },
    } as BarSeriesOption;
  });

  const cut = options.xTickLabelMaxLength ? (n: string) => ([...n].length > options.xTickLabelMaxLength! ? [...n].slice(0, options.xTickLabelMaxLength).join("") + "…" : n) : (n: string) => n;
  const categories = {
    type: "category", data: names, inverse: across, axisTick: { show: false }, axisLine: { lineStyle: { color: theme.grid } },
    axisLabel: {
      color: theme.muted, fontSize: 11, interval: across && slot < 13 ? "auto" : turned || across || slot > 30 ? 0 : "auto", rotate: options.xTickLabelRotation ? -options.xTickLabelRotation : turned ? 45 : 0,
      formatter: (n: string) => fitted(cut(n), across ? room - 10 : turned ? 90 : Math.max(slot - 4, 24)),
    },
  };
  const values = built.options.map((o) => (across ? { ...o, position: "bottom", name: o.name, nameGap: 22, nameRotate: 0 } : o));
  return {
    plot,
    option: { xAxis: across ? values : categories, yAxis: across ? categories : values, series } as Option,
    tip: (x, y) => {
      const i = Math.floor(across ? y / slot : x / slot);
      if (i < 0 || i >= names.length || y < 0 || y > plot.height) return undefined;
      const rows = bars.fields.filter((f) => !f.config.custom.hideFrom?.tooltip && !hidden.has(f.title));
      return { head: names[i]!, rows: rows.map((f) => ({ name: f.title, value: f.display(f.values[i] ?? null).text, color: isShown(f) ? barColor(context, frame, f, i) : undefined })) };
    },
  };
}

export const barchart: Kind = { legend, draw };
