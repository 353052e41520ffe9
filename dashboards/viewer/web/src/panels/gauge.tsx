// Gauges: an arc, or bars.
import type { Field } from "../format/field";
import { colorOf, mix, type Theme } from "../format/theme";
import type { Panel } from "../model";
import type { Single } from "./single";
import { columnsFor } from "./stat";
import { fitted, tickText, widthOf } from "./ticks";

interface Props {
  panel: Panel;
  singles: Single[];
  theme: Theme;
  width: number;
  height: number;
}

/** The ends of a gauge: as configured, else 0 to 100 (to 1 for shares), as in Grafana. */
export function endsOf({ config }: Field): { min: number; max: number } {
  return { min: config.min ?? 0, max: config.max ?? (config.unit === "percentunit" ? 1 : 100) };
}

/** How far a value is along its gauge, from 0 to 1. */
export function along(field: Field, value: number | null): number {
  const { min, max } = endsOf(field);
  return value === null || !(max > min) ? 0 : Math.min(Math.max((value - min) / (max - min), 0), 1);
}

/** The thresholds of a field as stretches of its gauge. */
function stretches(field: Field): { from: number; to: number; color: string }[] {
  const { min, max } = endsOf(field);
  const { steps = [], mode } = field.config.thresholds ?? {};
  const at = steps.map((s) => (s.value === null ? 0 : mode === "percentage" ? s.value / 100 : along(field, s.value)));
  return steps.map((s, i) => ({ from: at[i]!, to: at[i + 1] ?? 1, color: s.color })).filter((s) => s.to > s.from && max > min);
}

const start = (-120 * Math.PI) / 180;
const sweep = (240 * Math.PI) / 180;
const spot = (radius: number, share: number) => ({ x: radius * Math.sin(start + sweep * share), y: -radius * Math.cos(start + sweep * share) });

function arc(radius: number, from: number, to: number): string {
  const [a, b] = [spot(radius, from), spot(radius, to)];
  return `M${a.x.toFixed(2)},${a.y.toFixed(2)}A${radius},${radius} 0 ${(to - from) * sweep > Math.PI ? 1 : 0} 1 ${b.x.toFixed(2)},${b.y.toFixed(2)}`;
}

export function Gauges({ panel, singles, theme, width, height }: Props) {
  const { showThresholdMarkers = true, showThresholdLabels = false, orientation } = panel.options ?? {};
  const columns = columnsFor(singles.length, width, height, orientation, 1.3);
  const rows = Math.ceil(singles.length / columns);
  const cell = { width: width / columns, height: height / rows };
  const named = singles.length > 1;
  const radius = Math.max(10, Math.min(cell.width / 2 - 6, (cell.height - (named ? 20 : 4)) / 1.55));
  return (
    <div class="viz-gauges" style={{ gridTemplateColumns: `repeat(${columns}, minmax(0, 1fr))` }}>
      {singles.map((s, i) => {
        const color = colorOf(theme, s.shown.color ?? "palette:0");
        const thick = radius * 0.22;
        const middle = radius - thick / 2 - (showThresholdMarkers ? 8 : 2);
        const share = along(s.field, s.value);
        const size = Math.min(radius * 0.42, ((middle - thick) * 1.9 * 10) / Math.max(widthOf(s.shown.text, 10), 10));
        const marks = stretches(s.field);
        return (
          <div key={i} class="viz-gauge">
            <svg width={radius * 2 + 4} height={radius * 1.55} viewBox={`${-radius - 2} ${-radius - 2} ${radius * 2 + 4} ${radius * 1.55}`} role="img" aria-label={`${s.title}: ${s.shown.text}`}>
              <path d={arc(middle, 0, 1)} fill="none" stroke={mix(theme.background, theme.muted, 0.22)} stroke-width={thick} />
              {share > 0 && <path d={arc(middle, 0, share)} fill="none" stroke={color} stroke-width={thick} />}
              {showThresholdMarkers && marks.map((m, n) => <path key={n} d={arc(radius - 2, m.from, m.to)} fill="none" stroke={colorOf(theme, m.color)} stroke-width={3} />)}
              {showThresholdLabels && marks.slice(1).map((m, n) => {
                const p = spot(middle - thick, m.from);
                return <text key={n} x={p.x} y={p.y} font-size={10} text-anchor="middle" fill={theme.muted}>{tickText(s.field, m.from * (endsOf(s.field).max - endsOf(s.field).min) + endsOf(s.field).min)}</text>;
              })}
              <text x={0} y={size * 0.3} font-size={size} font-weight={500} text-anchor="middle" fill={color}>{s.shown.text || "–"}</text>
            </svg>
            {named && <div class="viz-bar-name" dir="auto" title={s.title} style={{ maxWidth: `${cell.width - 8}px` }}>{s.title}</div>}
          </div>
        );
      })}
    </div>
  );
}

/** The colours of a bar from its beginning to its end: in the gradient mode it passes through the thresholds below. */
export function barBackground(field: Field, share: number, color: string, theme: Theme, mode: string): string {
  if (mode === "basic") return color;
  const passed = stretches(field).filter((m) => m.from < share);
  if (mode === "gradient") {
    if (passed.length < 2) return `linear-gradient(90deg, ${mix(color, theme.background, 0.35)}, ${color})`;
    return `linear-gradient(90deg, ${passed.map((m) => `${colorOf(theme, m.color)} ${((m.from / share) * 100).toFixed(1)}%`).join(", ")}, ${color})`;
  }
  return `repeating-linear-gradient(90deg, ${color} 0 6px, transparent 6px 8px)`;
}

export function BarGauges({ panel, singles, theme, width, height }: Props) {
  const { displayMode = "gradient", orientation, valueMode = "color", showUnfilled = true } = panel.options ?? {};
  const upright = orientation === "vertical" || (orientation !== "horizontal" && width > height * 2.2 && singles.length < 9 && width / singles.length > 60);
  const values = Math.max(...singles.map((s) => widthOf(s.shown.text, 13)), 20) + 6;
  const names = Math.min(Math.max(...singles.map((s) => widthOf(s.title, 12)), 20) + 6, width * 0.4);
  const thick = Math.max(8, Math.min(34, (height - 4) / singles.length - 10));
  return (
    <div class={upright ? "viz-bars upright" : "viz-bars"}>
      {singles.map((s, i) => {
        const color = colorOf(theme, s.shown.color ?? "palette:0");
        const share = along(s.field, s.value);
        const percent = `${(share * 100).toFixed(2)}%`;
        const track = showUnfilled ? undefined : { background: "none" };
        const ink = valueMode === "text" ? theme.text : color;
        const value = valueMode === "hidden" ? null : <b style={{ color: ink, fontSize: "13px" }}>{s.shown.text || "–"}</b>;
        return upright ? (
          <div key={i} class="viz-bar" style={{ gridTemplateRows: "auto 1fr auto", justifyItems: "center", width: `${Math.min(width / singles.length - 8, 120)}px` }}>
            {value}
            <div class="viz-bar-track" style={{ ...track, width: "70%", height: "100%" }}>
              <div class="viz-bar-fill" style={{ inset: "auto 0 0 0", height: percent, background: barBackground(s.field, share, color, theme, displayMode).replaceAll("90deg", "0deg") }} />
            </div>
            <span class="viz-bar-name" dir="auto" title={s.title} style={{ maxWidth: "100%" }}>{fitted(s.title, width / singles.length, 12)}</span>
          </div>
        ) : (
          <div key={i} class="viz-bar" style={{ gridTemplateColumns: `${names}px 1fr ${valueMode === "hidden" ? 0 : values}px` }}>
            <span class="viz-bar-name" dir="auto" title={s.title}>{s.title}</span>
            <div class="viz-bar-track" style={{ ...track, height: `${thick}px` }}>
              <div class="viz-bar-fill" style={{ inset: "0 auto 0 0", width: percent, background: barBackground(s.field, share, color, theme, displayMode) }} />
            </div>
            {value}
          </div>
        );
      })}
    </div>
  );
}

