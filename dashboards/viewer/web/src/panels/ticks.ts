// Where the ticks of an axis stand and what they say.
import { scaleOf } from "../format/units";
import type { Field } from "../format/field";
import type { Formatted } from "../format/units";

/** Steps of a clock in seconds, from a second to a year. */
const clock = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200, 86400, 172800, 604800, 1209600, 2592000, 7776000, 31536000];
/** What a second is in the units that count on a clock. */
const perSecond = { s: 1, ms: 1000, min: 1 / 60, h: 1 / 3600 };

/** The smallest round step, in the way the unit counts, that makes at most this many of the range. */
export function niceStep(range: number, count: number, unit: string | undefined): number {
  const least = range / Math.max(count, 1);
  const scale = scaleOf(unit);
  if (scale === "binary" && least >= 1) return 2 ** Math.ceil(Math.log2(least));
  if (scale in perSecond) {
    const second = perSecond[scale as keyof typeof perSecond];
    const step = clock.find((s) => s * second >= least);
    if (least >= second && step) return step * second;
  }
  const power = 10 ** Math.floor(Math.log10(least));
  return ([1, 2, 5].find((m) => m * power >= least * 0.999999) ?? 10) * power;
}

export interface Ticks {
  min: number;
  max: number;
  step: number;
  values: number[];
}

/** Ticks over a range that grows to round ends, except where an end is fixed. */
export function niceTicks(low: number, high: number, count: number, unit: string | undefined, fixed: { min?: number; max?: number } = {}): Ticks {
  let min = fixed.min ?? low;
  let max = fixed.max ?? high;
  if (!(max > min)) {
    const room = Math.abs(min) * 0.1 || 1;
    if (fixed.max === undefined) max = min + room;
    else min = max - room;
    if (fixed.min === undefined && fixed.max === undefined && min !== 0) min -= room;
  }
  const step = niceStep(max - min, count, unit);
  if (fixed.min === undefined) min = Math.floor(min / step + 1e-9) * step;
  if (fixed.max === undefined) max = Math.ceil(max / step - 1e-9) * step;
  const values: number[] = [];
  for (let i = Math.ceil(min / step - 1e-9); i * step <= max + step * 1e-9; i++) values.push(Number((i * step).toPrecision(12)));
  return { min, max, step, values };
}

/** Zeros behind the point say nothing on an axis. */
export const trimmed = ({ prefix, text, suffix }: Formatted): string => prefix + (text.includes(".") ? text.replace(/\.?0+$/, "") : text) + suffix;

export const tickText = (field: Field, value: number): string => trimmed(field.display(value).parts);

/** About how wide a text is at the size of tick labels, in px. */
export const widthOf = (text: string, size = 11): number => [...text].reduce((w, c) => w + (c > "\u2e80" ? size : size * 0.58), 0);

/** A text cut to about this many px. */
export function fitted(text: string, width: number, size = 11): string {
  if (widthOf(text, size) <= width) return text;
  const letters = [...text];
  while (letters.length > 1 && widthOf(letters.join("") + "…", size) > width) letters.pop();
  return letters.join("") + "…";
}

const two = (n: number) => String(n).padStart(2, "0");

/** The moments to mark between two, on round times of the UTC clock, and their labels. */
export function timeTicks(from: number, to: number, count: number): { values: number[]; label(ms: number): string } {
  const step = niceStep(to - from, count, "ms");
  const values: number[] = [];
  for (let t = Math.ceil(from / step) * step; t <= to; t += step) values.push(t);
  return {
    values,
    label(ms) {
      const t = new Date(ms);
      const day = `${two(t.getUTCMonth() + 1)}-${two(t.getUTCDate())}`;
      if (step >= 86_400_000 || ms % 86_400_000 === 0) return day;
      return `${two(t.getUTCHours())}:${two(t.getUTCMinutes())}${step < 60_000 ? ":" + two(t.getUTCSeconds()) : ""}`;
    },
  };
}
