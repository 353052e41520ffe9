// What a panel shows, as a table and as a sentence: for readers who do not see the picture.
import type { PanelAnswer } from "../api";
import { isEmpty, isNumeric, isShown, type Data, type Field } from "../format/field";
import { reduce } from "../format/reduce";
import { isoTime } from "../format/units";
import type { Panel } from "../model";
import { singlesOf } from "./single";
import { timelineOf } from "./timeline";

export interface Rows {
  columns: { name: string; unit?: string }[];
  rows: (string | number | null)[][];
}

const cell = (f: Field, i: number): string | null => (f.values[i] === null || f.values[i] === undefined ? f.config.noValue ?? null : f.display(f.values[i]).text);

/** One table of several frames: joined by time where each has one, else below each other. */
function joinedRows(data: Data[]): Rows {
  const frames = data.filter((d) => d.fields.length > 0);
  const times = frames.map((d) => d.fields.find((f) => f.type === "time"));
  if (frames.length > 1 && times.every(Boolean)) {
    const at = new Map<number, (string | null)[]>();
    const columns = frames.flatMap((d, i) => d.fields.filter((f) => f !== times[i]));
    let offset = 0;
    frames.forEach((d, n) => {
      const own = d.fields.filter((f) => f !== times[n]);
      times[n]!.values.forEach((t, row) => {
        const cells = at.get(Number(t)) ?? columns.map(() => null);
        own.forEach((f, c) => (cells[offset + c] = cell(f, row)));
        at.set(Number(t), cells);
      });
      offset += own.length;
    });
    const rows = [...at].sort(([a], [b]) => a - b).map(([t, cells]) => [times[0]!.display(t).text, ...cells]);
    return { columns: [times[0]!, ...columns].map(column), rows };
  }
  const first = frames[0];
  if (!first) return { columns: [], rows: [] };
  const width = Math.max(...frames.map((d) => d.fields.length));
  const widest = frames.find((d) => d.fields.length === width)!;
  return { columns: widest.fields.map(column), rows: frames.flatMap((d) => Array.from({ length: d.length }, (_, i) => widest.fields.map((_, c) => (d.fields[c] ? cell(d.fields[c], i) : null)))) };
}

const column = (f: Field) => ({ name: f.title, ...(f.type === "number" && f.config.unit ? { unit: f.config.unit } : {}) });

/** The formatted data behind a panel. */
export function toRows(panel: Panel, data: Data[]): Rows {
  if (["stat", "gauge", "bargauge"].includes(panel.type)) {
    return { columns: [{ name: "Name" }, { name: "Value" }], rows: singlesOf(panel, data).map((s) => [s.title, s.shown.text]) };
  }
  const visible = data.map((d) => ({ ...d, fields: d.fields.filter((f) => !f.config.custom.hidden && !(f.config.custom.hideFrom?.viz && f.config.custom.hideFrom.tooltip)) }));
  return joinedRows(panel.type === "table" ? visible.slice(panel.options?.frameIndex ?? 0, (panel.options?.frameIndex ?? 0) + 1) : visible);
}

const told = 4;
const list = (parts: string[]) => (parts.length > told ? `${parts.slice(0, told).join("; ")}; and ${parts.length - told} more` : parts.join("; "));

/** One or two sentences that say what the panel shows. */
export function summarize(panel: Panel, answer: PanelAnswer, data: Data[]): string {
  if (panel.type === "text") return `${panel.title}. ${panel.options?.content ?? ""}`.trim();
  if (isEmpty(data)) return `${panel.title}: no data.`;
  const cut = answer.frames.some((f) => f.truncated) ? " Not all rows are shown." : "";
  const fields = data.flatMap((d) => d.fields.filter((f) => isNumeric(f) && isShown(f)));
  switch (panel.type) {
    case "stat":
    case "gauge":
    case "bargauge":
      return `${panel.title}: ${list(singlesOf(panel, data).map((s) => `${s.title} ${s.shown.text || "no value"}`))}.${cut}`;
    case "timeseries": {
      const span = `from ${isoTime(answer.range.from)} to ${isoTime(answer.range.to)} UTC`;
      const told = fields.map((f) => {
        const [last, low, high] = ["lastNotNull", "min", "max"].map((c) => f.display(reduce(f.values, c)).text);
        return last ? `${f.title} last ${last}, between ${low} and ${high}` : `${f.title} without values`;
      });
      return `${panel.title}, ${fields.length} series ${span}: ${list(told)}.${cut}`;
    }
    case "state-timeline": {
      const { rows, stretches } = timelineOf({ panel, data, range: answer.range });
      return `${panel.title}: ${list(rows.map((f, i) => `${f.title} is ${stretches.findLast((s) => s.row === i)?.shown.text ?? "unknown"}`))}.${cut}`;
    }
    case "barchart": {
      const names = data[0]!.fields.find((f) => f.name === panel.options?.xField) ?? data[0]!.fields.find((f) => f.type === "string");
      const f = fields[0];
      if (!names || !f) break;
      return `${panel.title}: ${list(names.values.map((v, i) => `${names.display(v).text} ${f.display(f.values[i] ?? null).text}`))}.${cut}`;
    }
  }
  const { columns, rows } = toRows(panel, data);
  return `${panel.title}: ${rows.length} rows of ${columns.map((c) => c.name).join(", ")}.${cut}`;
}
