import { colorOf, inkOn, mix, type Theme } from "../format/theme";
import type { Options, Panel } from "../model";
import type { Single } from "./single";
import { widthOf } from "./ticks";

interface Props {
  panel: Panel;
  singles: Single[];
  theme: Theme;
  width: number;
  height: number;
}

/** The number of columns that leaves most room for a shape of this aspect (width by height) in each cell. */
export function columnsFor(count: number, width: number, height: number, orientation: Options["orientation"], aspect: number): number {
  if (orientation === "vertical") return count;
  if (orientation === "horizontal") return 1;
  let best = { columns: 1, size: 0 };
  for (let columns = 1; columns <= count; columns++) {
    const cell = { width: width / columns, height: height / Math.ceil(count / columns) };
    const size = Math.min(cell.width / aspect, cell.height);
    if (size > best.size) best = { columns, size };
  }
  return best.columns;
}

export function Stats({ panel, singles, theme, width, height }: Props) {
  const { textMode = "auto", colorMode = "value", graphMode = "area", justifyMode = "auto", orientation, text = {} } = panel.options ?? {};
  const columns = columnsFor(singles.length, width, height, orientation, 2.6);
  const rows = Math.ceil(singles.length / columns);
  const cell = { width: (width - (columns - 1) * 6) / columns - 16, height: (height - (rows - 1) * 6) / rows - 8 };
  const named = textMode === "name" || textMode === "value_and_name" || (textMode === "auto" && singles.length > 1);
  const valued = textMode !== "name" && textMode !== "none";
  const nameSize = text.titleSize ?? Math.min(15, Math.max(11, cell.height * 0.2));
  // One size for all, as large as the longest of them fits.
  const longest = Math.max(...singles.map((s) => widthOf(s.shown.parts.prefix + s.shown.parts.text, 10) + widthOf(s.shown.parts.suffix, 6.2)), 1);
  const valueSize = text.valueSize ?? Math.max(12, Math.min((cell.height - (named ? nameSize * 1.25 : 0)) * 0.74, (cell.width / longest) * 9.4, 64));
  return (
    <div class="viz-stats" style={{ gridTemplateColumns: `repeat(${columns}, minmax(0, 1fr))`, gridAutoRows: "minmax(0, 1fr)" }}>
      {singles.map((s, i) => {
        const color = colorOf(theme, s.shown.color);
        const filled = colorMode.startsWith("background") && s.shown.color;
        const ink = filled ? inkOn(color) : undefined;
        return (
          <div key={i} class={justifyMode === "center" || (justifyMode === "auto" && singles.length === 1) ? "viz-stat center" : "viz-stat"}
            style={filled ? { background: colorMode === "background" ? `linear-gradient(120deg, ${color}, ${mix(color, "#000000", 0.12)})` : color, color: ink } : undefined}>
            {graphMode === "area" && s.trail.length > 1 && <Sparkline values={s.trail} color={ink ?? color} width={cell.width + 16} height={Math.round(cell.height * 0.42)} />}
            {named && <div class={cell.height > 64 ? "viz-stat-name two" : "viz-stat-name"} dir="auto" title={s.title} style={{ fontSize: `${nameSize}px`, ...(ink ? { color: ink } : {}) }}>{s.title}</div>}
            {valued && (
              <div class="viz-stat-value" dir="auto" title={s.shown.text} style={{ fontSize: `${valueSize}px`, ...(colorMode === "value" ? { color } : {}) }}>
                {s.shown.parts.prefix}{s.shown.parts.text || (s.shown.parts.suffix ? "" : "–")}<small>{s.shown.parts.suffix}</small>
              </div>
            )}
          </div>
        );
      })}
    </div>
  );
}

function Sparkline({ values, color, width, height }: { values: (number | null)[]; color: string; width: number; height: number }) {
  const given = values.filter((v) => v !== null);
  if (given.length < 2 || height < 8) return null;
  const low = given.reduce((a, b) => Math.min(a, b));
  const span = given.reduce((a, b) => Math.max(a, b)) - low || 1;
  const places = values.flatMap((v, i) => (v === null ? [] : [`${((i / (values.length - 1)) * width).toFixed(1)},${(height - 2 - ((v - low) / span) * (height - 4)).toFixed(1)}`]));
  const [first] = places[0]!.split(",");
  const [last] = places.at(-1)!.split(",");
  return (
    <svg width={width} height={height} aria-hidden="true">
      <path d={`M${first},${height}L${places.join("L")}L${last},${height}Z`} fill={color} opacity={0.16} />
      <path d={`M${places.join("L")}`} fill="none" stroke={color} stroke-width="1.5" opacity={0.55} />
    </svg>
  );
}
