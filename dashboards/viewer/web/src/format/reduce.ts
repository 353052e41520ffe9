// Many values as one: Grafana's calculations, by their ids.
import type { Value } from "./field";

type Reducer = (values: Value[], numbers: number[]) => Value;

const given = (values: Value[]) => values.filter((v) => v !== null && !Number.isNaN(v));
const sum = (numbers: number[]) => numbers.reduce((a, b) => a + b, 0);
const atLeastOne =
  (f: (numbers: number[]) => number): Reducer =>
  (_, numbers) =>
    numbers.length === 0 ? null : f(numbers);
// Spreading a long list into Math.min overflows the stack.
const least = (numbers: number[]) => numbers.reduce((a, b) => Math.min(a, b));
const most = (numbers: number[]) => numbers.reduce((a, b) => Math.max(a, b));
const sorted = (numbers: number[]) => [...numbers].sort((a, b) => a - b);

function variance(numbers: number[]): number {
  const mean = sum(numbers) / numbers.length;
  return sum(numbers.map((n) => (n - mean) ** 2)) / numbers.length;
}

function median(numbers: number[]): number {
  const s = sorted(numbers);
  const middle = s.length >> 1;
  return s.length % 2 ? s[middle]! : (s[middle - 1]! + s[middle]!) / 2;
}

const reducers: Record<string, Reducer> = {
  last: (values) => values.at(-1) ?? null,
  lastNotNull: (values) => given(values).at(-1) ?? null,
  first: (values) => values[0] ?? null,
  firstNotNull: (values) => given(values)[0] ?? null,
  min: atLeastOne(least),
  max: atLeastOne(most),
  mean: atLeastOne((n) => sum(n) / n.length),
  median: atLeastOne(median),
  sum: (_, numbers) => sum(numbers),
  count: (values) => given(values).length,
  countAll: (values) => values.length,
  range: atLeastOne((n) => most(n) - least(n)),
  diff: atLeastOne((n) => n.at(-1)! - n[0]!),
  diffperc: atLeastOne((n) => ((n.at(-1)! - n[0]!) / n[0]!) * 100),
  stdDev: atLeastOne((n) => Math.sqrt(variance(n))),
  variance: atLeastOne(variance),
  distinctCount: (values) => new Set(given(values)).size,
  changeCount: (values) => given(values).filter((v, i, all) => i > 0 && v !== all[i - 1]).length,
};

const titles: Record<string, string> = {
  last: "Last", lastNotNull: "Last *", first: "First", firstNotNull: "First *", min: "Min", max: "Max", mean: "Mean", median: "Median", sum: "Total", count: "Count", countAll: "Count all",
  range: "Range", diff: "Difference", diffperc: "Difference percent", stdDev: "StdDev", variance: "Variance", distinctCount: "Distinct Count", changeCount: "Change Count",
};

/** Calculations whose result is no number of the field's unit. */
const counts = new Set(["count", "countAll", "distinctCount", "changeCount", "diffperc"]);

export const calcTitle = (id: string): string => titles[id] ?? id;
export const keepsUnit = (id: string): boolean => !counts.has(id);

/** The value of one calculation; pNN is a percentile. null when there is none, or for an unknown id. */
export function reduce(values: Value[], id: string): Value {
  const numbers = given(values).filter((v) => typeof v === "number");
  const percentile = /^p([1-9]\d?)$/.exec(id);
  if (percentile) return numbers.length === 0 ? null : sorted(numbers)[Math.round((Number(percentile[1]) / 100) * (numbers.length - 1))]!;
  return Object.hasOwn(reducers, id) ? reducers[id]!(values, numbers) : null;
}
