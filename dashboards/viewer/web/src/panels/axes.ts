// Value axes: one for each unit, range, side and label, as in Grafana; the first on the left, the others on the right.
import type { YAXisOption } from "echarts/types/dist/shared";
import type { Field } from "../format/field";
import type { Theme } from "../format/theme";
import { niceTicks, tickText, widthOf } from "./ticks";

/** Fields that share an axis, and the range of what is drawn of them. */
export interface Axis {
  key: string;
  field: Field;
  low: number;
  high: number;
  side: "left" | "right";
  hidden: boolean;
}

export function keyOf({ config }: Field): string {
  const c = config.custom;
  return JSON.stringify([config.unit, config.min, config.max, c.axisSoftMin, c.axisSoftMax, c.axisPlacement ?? "auto", c.scaleDistribution?.type ?? "linear", c.axisLabel]);
}

/** Axes in the order of their fields. */
export function axesOf(fields: { field: Field; low: number; high: number }[]): Axis[] {
  const axes: Axis[] = [];
  for (const { field, low, high } of fields) {
    const key = keyOf(field);
    let axis = axes.find((a) => a.key === key);
    if (!axis) {
      const placement = field.config.custom.axisPlacement ?? "auto";
      const taken = axes.some((a) => !a.hidden && a.side === "left");
      const side = placement === "right" || (placement !== "left" && taken) ? "right" : "left";
      axes.push((axis = { key, field, low: Infinity, high: -Infinity, side, hidden: placement === "hidden" }));
    }
    axis.low = Math.min(axis.low, low);
    axis.high = Math.max(axis.high, high);
  }
  return axes;
}

export interface Built {
  options: YAXisOption[];
  left: number;
  right: number;
  /** The value at the top and bottom of each axis. */
  ranges: { min: number; max: number }[];
}

/** ECharts axes with room for their labels. length is the axis' length in px; across says that it runs sideways. */
export function buildAxes(axes: Axis[], length: number, theme: Theme, across = false): Built {
  const room = { left: 0, right: 0 };
  const ranges: Built["ranges"] = [];
  let grid = false;
  const options = axes.map((axis): YAXisOption => {
    const { config } = axis.field;
    const { custom } = config;
    const soft = { low: Math.min(axis.low, custom.axisSoftMin ?? Infinity), high: Math.max(axis.high, custom.axisSoftMax ?? -Infinity) };
    if (!Number.isFinite(soft.low) || !Number.isFinite(soft.high)) Object.assign(soft, { low: 0, high: 1 });
    if (custom.axisCenteredZero) {
      soft.high = Math.max(Math.abs(soft.low), Math.abs(soft.high));
      soft.low = -soft.high;
    }
    const log = custom.scaleDistribution?.type === "log";
    const t = niceTicks(soft.low, soft.high, Math.max(2, Math.floor(length / (across ? 56 : 34))), config.unit, { min: config.min ?? undefined, max: config.max ?? undefined });
    ranges.push({ min: t.min, max: t.max });
    const texts = t.values.map((v) => tickText(axis.field, v));
    const width = axis.hidden ? 0 : Math.max(...texts.map((x) => widthOf(x)), 10) + 10;
    const name = axis.hidden ? undefined : custom.axisLabel || undefined;
    const offset = room[axis.side];
    if (!axis.hidden) room[axis.side] += width + (name ? 16 : 0);
    const lines = !axis.hidden && !grid;
    grid ||= lines;
    return {
      ...(log ? { type: "log" as const, logBase: custom.scaleDistribution?.log ?? 10 } : { type: "value" as const, min: t.min, max: t.max, interval: t.step }),
      show: !axis.hidden, position: axis.side, offset,
      axisLine: { show: false }, axisTick: { show: false },
      axisLabel: { color: theme.muted, fontSize: 11, margin: 6, hideOverlap: true, formatter: (v: number) => tickText(axis.field, v), showMinLabel: true, showMaxLabel: true },
      splitLine: { show: lines, lineStyle: { color: theme.grid, width: 1 } },
      name, nameLocation: "middle", nameGap: width + 4, nameTextStyle: { color: theme.muted, fontSize: 11 }, nameRotate: axis.side === "right" ? 270 : 90,
    } as YAXisOption;
  });
  return { options, left: room.left, right: room.right, ranges };
}
