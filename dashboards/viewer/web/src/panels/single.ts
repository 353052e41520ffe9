// Values that stand alone: what stat, gauge and bar gauge show.
import { isNumeric, isShown, type Data, type Display, type Field, type Value } from "../format/field";
import { calcTitle, keepsUnit, reduce } from "../format/reduce";
import { regexp } from "../format/text";
import type { Panel } from "../model";

export interface Single {
  title: string;
  field: Field;
  /** The number that is shown; null for texts. */
  value: number | null;
  shown: Display;
  /** The values over time, for the sparkline. */
  trail: (number | null)[];
}

const most = 25;
const numberOf = (v: Value) => (typeof v === "number" ? v : typeof v === "boolean" ? Number(v) : null);

/** The panel's fields reduced to one value each, or every row's value where it asks for all. */
export function singlesOf(panel: Panel, data: Data[]): Single[] {
  const { calcs = ["lastNotNull"], fields = "", values = false, limit = most } = panel.options?.reduceOptions ?? {};
  const pattern = fields ? regexp(fields) : undefined;
  const singles: Single[] = [];
  for (const frame of data) {
    const texts = frame.fields.filter((f) => f.type === "string");
    for (const field of frame.fields) {
      const chosen = fields ? (pattern?.test(field.title) || field.name === fields || field.title === fields) : isNumeric(field);
      if (!chosen || !isShown(field)) continue;
      const trail = field.type === "number" ? (field.values as (number | null)[]) : [];
      if (values) {
        const others = frame.fields.filter((f) => f.type === "number").length > 1 || texts.length === 0;
        field.values.forEach((v, row) => {
          const names = texts.map((t) => t.display(t.values[row] ?? null).text).filter(Boolean);
          singles.push({ title: field.config.displayName ? field.title : [...names, ...(others ? [field.title] : [])].join(" "), field, value: numberOf(v), shown: field.display(v), trail: [] });
        });
      } else {
        for (const calc of calcs) {
          const v = reduce(field.values, calc);
          const own = field.display(v);
          const shown = keepsUnit(calc) || v === null ? own : { ...own, text: String(v), parts: { prefix: "", text: String(v), suffix: "" } };
          singles.push({ title: calcs.length > 1 ? `${field.title} ${calcTitle(calc)}` : field.title, field, value: numberOf(v), shown, trail });
        }
      }
    }
  }
  return singles.slice(0, limit);
}
