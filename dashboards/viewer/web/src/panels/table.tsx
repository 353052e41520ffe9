import { useMemo, useState } from "preact/hooks";
import type { Data, Field, Value } from "../format/field";
import { reduce } from "../format/reduce";
import { interpolate } from "../format/text";
import { colorOf, inkOn, withAlpha, type Theme } from "../format/theme";
import type { Link, Panel } from "../model";
import { barBackground } from "./gauge";

/** Rows that are drawn; more would make the page slow, and nobody reads them. */
const most = 500;

/** Columns stretch to this many px on average: what belongs together must not stand too far apart to be read as a row. */
const widest = 210;

/** Rows in the order of one column; absent values come last either way. */
export function sortedRows(length: number, field: Field | undefined, descending: boolean): number[] {
  const rows = Array.from({ length }, (_, i) => i);
  if (!field) return rows;
  const compare = (a: Value, b: Value) => (typeof a === "string" || typeof b === "string" ? String(a).localeCompare(String(b), "en", { numeric: true }) : Number(a) - Number(b));
  return rows.sort((i, j) => {
    const [a, b] = [field.values[i] ?? null, field.values[j] ?? null];
    if (a === null || b === null) return Number(a === null) - Number(b === null);
    return descending ? compare(b, a) : compare(a, b);
  });
}

/** Where a cell's link leads, or undefined where that is no page: only http, https and addresses of this site. */
export function linkTarget(link: Link, data: Data, field: Field, row: number, search: string): string | undefined {
  const here = new URLSearchParams(search);
  const kept = (want: (name: string) => boolean) => new URLSearchParams([...here].filter(([name]) => want(name))).toString();
  const value = field.values[row] ?? null;
  const url = interpolate(link.url ?? "", (path) => {
    if (path === "__value.raw") return encodeURIComponent(String(value ?? ""));
    if (path === "__value.text") return encodeURIComponent(field.display(value).text);
    if (path === "__url_time_range") return kept((n) => n === "from" || n === "to");
    if (path === "__all_variables") return kept((n) => n.startsWith("var-"));
    const name = /^__data\.fields\.(.+)$/.exec(path)?.[1];
    const other = name && data.fields.find((f) => f.name === name || f.title === name);
    if (other) return encodeURIComponent(String(other.values[row] ?? ""));
    const variable = here.get(`var-${path}`);
    return variable === null ? undefined : encodeURIComponent(variable);
  });
  try {
    const { protocol } = new URL(url, "https://here.invalid/");
    return protocol === "https:" || protocol === "http:" ? url : undefined;
  } catch {
    return undefined;
  }
}

const cellType = ({ config: { custom } }: Field) => custom.cellOptions?.type ?? custom.displayMode ?? "auto";
const alignment = (f: Field) => {
  const align = f.config.custom.align ?? "auto";
  return align === "auto" ? (f.type === "number" ? "right" : "left") : align;
};

export function Table({ panel, data, theme }: { panel: Panel; data: Data[]; theme: Theme }) {
  const { options = {} } = panel;
  const frame = data[options.frameIndex ?? 0] ?? data[0]!;
  const fields = useMemo(() => frame.fields.filter((f) => !f.config.custom.hidden && !f.config.custom.hideFrom?.viz), [frame]);
  const [own, setOwn] = useState<{ title: string; desc: boolean } | null>();
  const asked = options.sortBy?.[0];
  const sort = own === undefined ? asked && { title: asked.displayName, desc: asked.desc ?? false } : own;
  const rows = useMemo(() => sortedRows(frame.length, fields.find((f) => f.title === sort?.title), sort?.desc ?? false), [frame, fields, sort?.title, sort?.desc]);
  // A click sorts downwards, then upwards, then not at all.
  const click = (title: string) => setOwn(sort?.title !== title ? { title, desc: true } : sort.desc ? { title, desc: false } : null);
  const footer = options.footer?.show ? options.footer : undefined;
  return (
    <div class="viz-table" tabIndex={0} role="region" aria-label={panel.title}>
      <table style={{ minWidth: `min(100%, ${fields.length * widest}px)` }}>
        {options.showHeader !== false && (
          <thead>
            <tr>
              {fields.map((f) => {
                const sorted = sort?.title === f.title;
                return (
                  <th key={f.title} scope="col" style={{ textAlign: alignment(f), ...(f.config.custom.width ? { minWidth: `${f.config.custom.width}px` } : {}) }} aria-sort={sorted ? (sort!.desc ? "descending" : "ascending") : undefined}>
                    <button type="button" dir="auto" onClick={() => click(f.title)}>{f.title}{sorted ? (sort!.desc ? " ↓" : " ↑") : ""}</button>
                  </th>
                );
              })}
            </tr>
          </thead>
        )}
        <tbody>
          {rows.slice(0, most).map((row) => {
            const tint = fields.find((f) => f.config.custom.cellOptions?.applyToRow);
            const whole = tint && tint.display(tint.values[row] ?? null).color;
            return (
              <tr key={row} style={whole ? { background: withAlpha(colorOf(theme, whole), 0.25) } : undefined}>
                {fields.map((f) => <Cell key={f.title} frame={frame} field={f} row={row} theme={theme} />)}
              </tr>
            );
          })}
        </tbody>
        {footer && (
          <tfoot>
            <tr>
              {fields.map((f, i) => {
                const included = f.type === "number" && (!footer.fields?.length || footer.fields.includes(f.name) || footer.fields.includes(f.title));
                const calc = footer.reducer?.[0] ?? "sum";
                return <td key={f.title} style={{ textAlign: alignment(f) }}>{included ? f.display(reduce(f.values, calc)).text : i === 0 ? (footer.countRows ? `${frame.length} rows` : "") : ""}</td>;
              })}
            </tr>
          </tfoot>
        )}
      </table>
      {frame.length > most && <div class="viz-note">{most} of {frame.length} rows are shown. The CSV has all that the server sent.</div>}
    </div>
  );
}

function Cell({ frame, field, row, theme }: { frame: Data; field: Field; row: number; theme: Theme }) {
  const value = field.values[row] ?? null;
  const shown = field.display(value);
  const { custom, links } = field.config;
  const type = cellType(field);
  const color = shown.color ? colorOf(theme, shown.color) : undefined;
  const style: Record<string, string> = { textAlign: alignment(field) };
  if (custom.width) style.maxWidth = `${custom.width}px`;
  if (custom.minWidth) style.minWidth = `min(${custom.minWidth}px, 70cqw)`;
  if (color && type === "color-text") style.color = color;
  if (color && type.startsWith("color-background") && !custom.cellOptions?.applyToRow) Object.assign(style, color === "transparent" ? { color: theme.muted } : { background: color, color: inkOn(color) });
  const link = links?.[0];
  const href = link && linkTarget(link, frame, field, row, globalThis.location?.search ?? "");
  const text = href ? <a href={href} title={link.title} {...(link.targetBlank ? { target: "_blank", rel: "noopener noreferrer" } : {})}>{shown.text}</a> : shown.text;
  if ((type.includes("gauge") || type === "basic") && typeof value === "number") {
    const mode = custom.cellOptions?.mode ?? (type === "lcd-gauge" ? "lcd" : type === "gradient-gauge" ? "gradient" : "basic");
    const share = Math.min(Math.max(shown.share, 0), 1);
    return (
      <td style={{ minWidth: "130px" }}>
        <div class="viz-cell-gauge">
          <div class="viz-bar-track"><div class="viz-bar-fill" style={{ width: `${(share * 100).toFixed(2)}%`, background: barBackground(field, share, color ?? colorOf(theme, "palette:0"), theme, mode) }} /></div>
          {custom.cellOptions?.valueDisplayMode !== "hidden" && <b style={custom.cellOptions?.valueDisplayMode === "text" ? undefined : { color }}>{text}</b>}
        </div>
      </td>
    );
  }
  return <td dir="auto" title={shown.text} class={custom.cellOptions?.wrapText ? "wrap" : undefined} style={style}>{text}</td>;
}
