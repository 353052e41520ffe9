// Answers as fields with their configuration: names, overrides, mappings, thresholds and units, as Grafana has them.
import type { Column, Frame, PanelAnswer } from "../api";
import type { FieldConfig, Mapping, MappingResult, Override, Panel, Thresholds } from "../model";
import { interpolate, regexp } from "./text";
import { formatOf, isTimeUnit, isoTime, joined, type Formatted } from "./units";

export type Value = number | string | boolean | null;
export type FieldType = Column["type"];

/** A value as it is shown. Colours are names for Theme.color. */
export interface Display {
  text: string;
  /** The same in parts, so that a gauge can set the unit smaller. */
  parts: Formatted;
  color?: string;
  /** Where the value lies between the field's min and max, from 0 to 1. */
  share: number;
}

export interface Field {
  name: string;
  /** The name on screen. */
  title: string;
  type: FieldType;
  values: Value[];
  labels: Record<string, string>;
  config: FieldConfig & { custom: NonNullable<FieldConfig["custom"]> };
  /** Its place among the numeric fields. */
  index: number;
  /** Its place in the palette. */
  tone: number;
  /** Shows a value with the field's unit; decimals replace the configured ones for ticks of an axis. */
  display(value: Value, decimals?: number): Display;
}

export interface Data {
  ref: string;
  name: string;
  fields: Field[];
  length: number;
}

interface Raw {
  name: string;
  type: FieldType;
  values: Value[];
  labels: Record<string, string>;
}

/** A long answer (one row per time and name) as one field per name, its texts as labels: what Grafana does with series. */
export function longToWide(columns: Raw[]): Raw[] {
  const time = columns.find((c) => c.type === "time");
  const names = columns.filter((c) => c.type === "string");
  if (!time || names.length === 0) return columns;
  const numbers = columns.filter((c) => c !== time && c.type !== "string");
  const moments = [...new Set(time.values)].sort((a, b) => Number(a) - Number(b));
  const at = new Map(moments.map((m, i) => [m, i]));
  const fields = new Map<string, Raw>();
  time.values.forEach((moment, row) => {
    const labels = Object.fromEntries(names.map((c) => [c.name, String(c.values[row] ?? "")]));
    for (const c of numbers) {
      const key = JSON.stringify([c.name, labels]);
      let field = fields.get(key);
      if (!field) fields.set(key, (field = { name: c.name, type: c.type, labels, values: moments.map(() => null) }));
      field.values[at.get(moment)!] = c.values[row] ?? null;
    }
  });
  return [{ ...time, values: moments }, ...fields.values()];
}

/** All labels as {a="b", c="d"}. */
const labelList = (labels: Record<string, string>) => {
  const parts = Object.entries(labels).sort(([a], [b]) => (a < b ? -1 : 1)).map(([k, v]) => `${k}="${v}"`);
  return parts.length ? `{${parts.join(", ")}}` : "";
};

/** The name of a field that no configuration names: the query's legend, or its own and what tells it from the others. */
function ownTitle(field: Raw, frame: Frame, labelNames: Set<string>): string {
  if (field.type === "time") return field.name || "Time";
  if (frame.name) return frame.name;
  const values = Object.values(field.labels);
  const labels = values.length === 0 ? "" : labelNames.size === 1 ? values[0]! : labelList(field.labels);
  return [field.name === "Value" && labels ? "" : field.name, labels].filter(Boolean).join(" ") || "Value";
}

/** Whether an override is for this field. */
export function matches(matcher: Override["matcher"], field: { name: string; title: string; type: FieldType }, ref: string): boolean {
  const { id, options } = matcher;
  switch (id) {
    case "byName":
      return options === field.name || options === field.title;
    case "byRegexp":
      return regexp(String(options))?.test(field.title) ?? false;
    case "byType":
      return options === field.type;
    case "numeric":
      return field.type === "number";
    case "byFrameRefID":
      return options === ref;
    case "byNames": {
      const { names = [], mode } = options as { names?: string[]; mode?: string };
      return (names.includes(field.name) || names.includes(field.title)) !== (mode === "exclude");
    }
    default:
      return false;
  }
}

/** Sets a property by its id: "unit", or "custom.lineWidth". */
function setProperty(config: Field["config"], id: string, value: unknown) {
  if (id.startsWith("custom.")) config.custom = { ...config.custom, [id.slice("custom.".length)]: value };
  else Object.assign(config, { [id]: value });
}

/** The mapping that is for a value. */
export function mapped(mappings: Mapping[] | undefined, value: Value): MappingResult | undefined {
  for (const m of mappings ?? []) {
    switch (m.type) {
      case "value":
        if (value !== null && Object.hasOwn(m.options, String(value))) return m.options[String(value)];
        break;
      case "range": {
        const n = value === null ? NaN : parseFloat(String(value));
        if (n >= (m.options.from ?? -Infinity) && n <= (m.options.to ?? Infinity)) return m.options.result;
        break;
      }
      case "regex": {
        const pattern = regexp(m.options.pattern);
        if (typeof value !== "string" || !pattern?.test(value)) break;
        const { text, ...rest } = m.options.result;
        return text === undefined ? rest : { ...rest, text: value.replace(pattern, text) };
      }
      case "special":
        if (isSpecial(m.options.match, value)) return m.options.result;
    }
  }
  return undefined;
}

function isSpecial(match: string, value: Value): boolean {
  const nan = typeof value === "number" && Number.isNaN(value);
  switch (match) {
    case "null":
      return value === null;
    case "nan":
      return nan;
    case "null+nan":
      return value === null || nan;
    case "true":
      return value === true || value === "true";
    case "false":
      return value === false || value === "false";
    case "empty":
      return value === "";
    default:
      return false;
  }
}

/** The colour of the highest step at or below the value (or, in percent, its share of the field's range). */
export function thresholdColor(thresholds: Thresholds | undefined, value: number, share: number): string | undefined {
  const at = thresholds?.mode === "percentage" ? share * 100 : value;
  return thresholds?.steps.findLast((s, i) => i === 0 || at >= (s.value ?? -Infinity))?.color;
}

function scaleColor(field: Field, value: number, share: number): string | undefined {
  const mode = field.config.color?.mode ?? "thresholds";
  if (mode === "fixed" || mode === "shades") return field.config.color?.fixedColor;
  if (mode.startsWith("palette-")) return `palette:${field.tone}`;
  if (mode.startsWith("continuous-")) return `${mode}:${share}`;
  return thresholdColor(field.config.thresholds, value, share);
}

/** How a field shows its values. range is the smallest and largest value, where no min and max are configured. */
function shower(field: Field, range: { min: number; max: number }): Field["display"] {
  const { config } = field;
  const asTime = field.type === "time" && !isTimeUnit(config.unit);
  const times = asTime ? field.values.filter((v) => typeof v === "number") : [];
  const withMs = times.length > 1 && Math.abs(times.at(-1)! - times[0]!) < 60_000;
  const asBool = field.type === "boolean" && !config.unit?.startsWith("bool");
  const unit = config.unit ?? (field.type === "string" ? "string" : undefined);
  const format = formatOf(asBool ? "bool" : unit);
  const min = config.min ?? range.min;
  const max = config.max ?? range.max;
  const words = (text: string): Formatted => ({ prefix: "", text, suffix: "" });
  return (value, decimals) => {
    const map = mapped(config.mappings, value);
    const numeric = field.type === "string" && typeof value !== "number" ? (value === null || value === "" || unit === "string" ? NaN : Number(value)) : value === null ? NaN : Number(value);
    const share = max > min && !Number.isNaN(numeric) ? (numeric - min) / (max - min) : 0;
    let parts: Formatted;
    if (map?.text !== undefined) parts = words(map.text);
    else if (value === null || value === "") parts = words(config.noValue ?? "");
    else if (Number.isNaN(numeric)) parts = words(String(value));
    else if (asTime) parts = words(isoTime(numeric, withMs));
    else parts = format(numeric, decimals ?? config.decimals ?? undefined);
    return { text: joined(parts), parts, share, color: map?.color ?? (Number.isNaN(numeric) ? undefined : scaleColor(field, numeric, share)) };
  };
}

/** Panel types whose series take colours of the palette where nothing else is said. */
const byPalette = new Set(["timeseries", "trend", "barchart", "histogram", "xychart"]);

/** Tones go by the legend. What it does not list, a bound or a part of a series, has the tone of the one with its labels. */
function giveTones(fields: Field[]) {
  const tones = new Map<string, number>();
  const key = (f: Field) => JSON.stringify(f.labels);
  const listed = (f: Field) => isShown(f) && !f.config.custom.hideFrom?.legend;
  let next = 0;
  for (const f of fields.filter(listed)) {
    f.tone = next++;
    if (Object.keys(f.labels).length > 0 && !tones.has(key(f))) tones.set(key(f), f.tone);
  }
  for (const f of fields) if (!listed(f)) f.tone = tones.get(key(f)) ?? next++;
}

/** The answer as fields, by what the panel says of them. */
export function dataOf(panel: Panel, answer: PanelAnswer): Data[] {
  const source = panel.fieldConfig ?? {};
  const frames = answer.frames.map((frame) => {
    const raw: Raw[] = frame.columns.map((c) => ({ name: c.name, type: c.type, values: c.values, labels: c.labels ?? {} }));
    const long = panel.targets?.find((t) => t.refId === frame.ref)?.queryType === "timeseries";
    return { frame, raw: long ? longToWide(raw) : raw };
  });
  const labelNames = new Set(frames.flatMap((f) => f.raw.flatMap((r) => Object.keys(r.labels))));
  let index = 0;
  const data = frames.map(({ frame, raw }) => {
    const fields = raw.map((r): Field => {
      const name = ownTitle(r, frame, labelNames);
      const lookup = (path: string) => {
        if (path === "__field.name") return r.name;
        if (path === "__field.displayName") return name;
        if (path === "__series.name") return frame.name ?? name;
        if (path === "__field.labels") return Object.values(r.labels).join(", ");
        return path.startsWith("__field.labels.") ? (r.labels[path.slice("__field.labels.".length)] ?? "") : undefined;
      };
      const config: Field["config"] = { ...source.defaults, custom: { ...source.defaults?.custom } };
      if (!config.color && byPalette.has(panel.type)) config.color = { mode: "palette-classic" };
      const named = config.displayName ? interpolate(config.displayName, lookup).trim() : name;
      // A name is for series; the times of a graph keep theirs.
      const title = r.type === "time" ? name : named;
      for (const o of source.overrides ?? []) {
        if (matches(o.matcher, { name: r.name, title, type: r.type }, frame.ref)) for (const p of o.properties) setProperty(config, p.id, p.value);
      }
      if (config.custom.axisLabel) config.custom.axisLabel = interpolate(config.custom.axisLabel, lookup);
      const renamed = config.displayName !== source.defaults?.displayName && config.displayName ? interpolate(config.displayName, lookup).trim() : title;
      return { ...r, config, title: renamed, index: r.type === "number" ? index++ : 0, tone: 0, display: () => ({ text: "", parts: { prefix: "", text: "", suffix: "" }, share: 0 }) };
    });
    return { ref: frame.ref, name: frame.name ?? "", fields, length: fields[0]?.values.length ?? 0 };
  });
  giveTones(data.flatMap((d) => d.fields.filter((f) => isNumeric(f) && f.name !== panel.options?.xField)));
  const range = { min: Infinity, max: -Infinity };
  const widen = (r: typeof range, f: Field) => {
    for (const v of f.type === "number" ? f.values : []) {
      if (typeof v !== "number") continue;
      r.min = Math.min(r.min, v);
      r.max = Math.max(r.max, v);
    }
    return r;
  };
  const fields = data.flatMap((d) => d.fields);
  for (const f of fields) widen(range, f);
  for (const f of fields) f.display = shower(f, f.config.fieldMinMax ? widen({ min: Infinity, max: -Infinity }, f) : range);
  return data;
}

export const isShown = (f: Field): boolean => !f.config.custom.hideFrom?.viz;
export const isNumeric = (f: Field): boolean => f.type === "number" || f.type === "boolean";
export const isEmpty = (data: Data[]): boolean => data.every((d) => d.length === 0);
/** Whether a field has a value anywhere. */
export const hasValue = (f: Field): boolean => f.values.some((v) => v !== null);
