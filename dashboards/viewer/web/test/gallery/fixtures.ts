// Answers as the server gives them, for every panel type, with the settings that our dashboards use.
import type { Annotation, Column, Frame, PanelAnswer } from "../../src/api";
import type { LegendOptions, Options, Override, Panel, FieldConfig } from "../../src/model";

export const start = Date.UTC(2025, 9, 4, 18);
const hours = 6;
const minute = 60_000;
const range = { from: start, to: start + hours * 60 * minute, step: 60 };

/** Numbers between 0 and 1 that are the same on every run. */
function seeded(seed: number): () => number {
  let s = seed;
  return () => ((s = (s * 1103515245 + 12345) % 2147483648) / 2147483648);
}

const times = Array.from({ length: hours * 60 }, (_, i) => start + i * minute);
const time = (values = times): Column => ({ name: "time", type: "time", values });
const number = (name: string, values: (number | null)[]): Column => ({ name, type: "number", values });
const string = (name: string, values: (string | null)[]): Column => ({ name, type: "string", values });
const noise = (seed: number, base: number, wave: number) => {
  const r = seeded(seed);
  return times.map((_, i) => Math.max(0, base * Math.exp(-i / 150) + wave * Math.sin(i / 20) + (r() - 0.5) * wave));
};

let id = 0;
interface Made {
  panel: Panel;
  answer: PanelAnswer;
}

function made(type: string, title: string, columns: Column[] | Frame[], more: { options?: Options; defaults?: FieldConfig; overrides?: Override[]; long?: boolean } = {}): Made {
  const frames = columns.length && "columns" in columns[0]! ? (columns as Frame[]) : [{ ref: "A", columns: columns as Column[] }];
  return {
    panel: {
      id: ++id, type, title, gridPos: { x: 0, y: 0, w: 12, h: 8 }, options: more.options, targets: frames.map((f) => ({ refId: f.ref, queryType: more.long ? "timeseries" : "table" })),
      fieldConfig: { defaults: more.defaults, overrides: more.overrides },
    },
    answer: { range, frames },
  };
}

const byName = (name: string, properties: Record<string, unknown>): Override => ({ matcher: { id: "byName", options: name }, properties: Object.entries(properties).map(([k, value]) => ({ id: k, value })) });
const byRegexp = (pattern: string, properties: Record<string, unknown>): Override => ({ matcher: { id: "byRegexp", options: pattern }, properties: Object.entries(properties).map(([k, value]) => ({ id: k, value })) });

export const hostile = `<img src=x onerror=alert(1)> "O'Brien" 🎉 قطرة`;

const pops = ["ams", "fra", "iad", "lhr", "nrt", "sfo", "sin", "gru", "syd", hostile];
const long = pops.flatMap((pop, p) => times.filter((_, i) => i % 10 === 0).map((t, i) => ({ t, pop, ms: 60 + p * 22 + 20 * Math.sin(i / 3 + p), rate: 0.02 + p * 0.004 + 0.004 * Math.cos(i / 4) })));

const velocity = noise(1, 42, 6);
const quiet: LegendOptions = { showLegend: true, displayMode: "list", placement: "bottom", calcs: [] };
const thresholds = (...steps: [number | null, string][]) => ({ mode: "absolute" as const, steps: steps.map(([value, color]) => ({ value, color })) });

const bucketBounds = [0, 5, 10, 25, 50, 100, 250, 500, 1000];
const cells = times.filter((_, i) => i % 10 === 0).flatMap((t, i) => bucketBounds.slice(1).map((high, b) => ({ t, low: bucketBounds[b]!, high, n: Math.round(400 * Math.exp(-((b - 3.5 - Math.sin(i / 6)) ** 2)) ) })));

const r = seeded(9);
const spread = Array.from({ length: 900 }, () => 20 + 60 * (r() + r() + r()) ** 1.6);

export const annotations: Annotation[] = [
  { layer: "Drop", color: "blue", time: start + 20 * minute, timeEnd: null, title: "Drop opens", text: hostile, tags: ["drop"] },
  { layer: "Incidents", color: "red", time: start + 150 * minute, timeEnd: start + 185 * minute, title: "Subtitles es: fast burn", text: "burn rate 14.4 over 1 h", tags: ["incident"] },
  { layer: "Decisions", color: "purple", time: start + 240 * minute, timeEnd: null, title: "cap nrt: throttle", text: "spend 1.2 times the pace", tags: ["decision"] },
];

export const fixtures: Made[] = [
  made("timeseries", "Conversion velocity (lines, band of provisional)", [time(), number("1 min", velocity), number("5 min", velocity.map((_, i) => velocity.slice(Math.max(0, i - 5), i + 1).reduce((a, b) => a + b) / Math.min(6, i + 1))), number("provisional", times.map((_, i) => (i > 320 ? 1 : null)))], {
    options: { legend: quiet }, long: true, defaults: { unit: "cpm", min: 0, custom: { lineWidth: 1, fillOpacity: 5, showPoints: "never", axisLabel: "conversions per minute", thresholdsStyle: { mode: "dashed" } }, thresholds: thresholds([null, "transparent"], [20, "orange"]) },
    overrides: [byName("5 min", { "custom.lineWidth": 2 }), byName("provisional", { unit: "bool", min: 0, max: 1, color: { mode: "fixed", fixedColor: "gray" }, "custom.axisPlacement": "hidden", "custom.lineWidth": 0, "custom.fillOpacity": 12, "custom.thresholdsStyle": { mode: "off" } })],
  }),
  made("timeseries", "Landing latency by POP (long rows, table legend)", [time(long.map((l) => l.t)), string("pop", long.map((l) => l.pop)), number("p95_ms", long.map((l) => l.ms))], {
    long: true, options: { legend: { ...quiet, displayMode: "table", calcs: ["lastNotNull", "max"] } }, defaults: { unit: "ms", min: 0, displayName: "${__field.labels.pop}", custom: { lineWidth: 1, axisLabel: "time to first byte" } },
  }),
  made("timeseries", "Interval as a band, two axes, steps, gap", [time(), number("dollars", velocity.map((v, i) => (i > 100 && i < 140 ? null : v * 31))), number("low", velocity.map((v, i) => (i > 100 && i < 140 ? null : v * 22))), number("high", velocity.map((v, i) => (i > 100 && i < 140 ? null : v * 44))), number("share", velocity.map((v) => v / 400))], {
    long: true, defaults: { unit: "currencyUSD", custom: { axisLabel: "lost to latency" } }, options: { legend: quiet },
    overrides: [byName("high", { "custom.fillBelowTo": "low", "custom.lineWidth": 0, "custom.fillOpacity": 18, color: { mode: "fixed", fixedColor: "blue" } }), byName("low", { "custom.lineWidth": 0, color: { mode: "fixed", fixedColor: "blue" }, "custom.hideFrom": { legend: true, tooltip: false, viz: false } }),
      byName("dollars", { "custom.lineWidth": 2 }), byName("share", { unit: "percentunit", min: 0, "custom.axisPlacement": "right", "custom.axisLabel": "of the revenue", "custom.lineInterpolation": "stepAfter" })],
  }),
  made("timeseries", "Revenue by currency (bars)", [time(times.filter((_, i) => i % 15 === 0)), number("net", velocity.filter((_, i) => i % 15 === 0).map((v) => v * 900)), number("net_provisional", velocity.filter((_, i) => i % 15 === 0).map((v, i) => (i > 20 ? v * 900 : 0)))], {
    long: true, defaults: { unit: "currencyUSD", custom: { drawStyle: "bars", fillOpacity: 70, lineWidth: 0, axisLabel: "major units of the currency" } }, overrides: [byRegexp("/net_provisional/", { "custom.fillOpacity": 20, "custom.lineWidth": 1 })], options: { legend: quiet },
  }),
  made("timeseries", "Stacked areas, legend on the right", [time(), number("hit", noise(4, 900, 90)), number("stale", noise(5, 300, 60)), number("miss", noise(6, 150, 40))], {
    long: true, defaults: { unit: "reqps", custom: { fillOpacity: 40, lineWidth: 1, stacking: { mode: "normal", group: "A" }, axisLabel: "requests" } }, options: { legend: { ...quiet, displayMode: "table", placement: "right", calcs: ["mean", "max"] } },
  }),
  made("timeseries", "Nothing here", [time([]), number("v", [])], { defaults: { noValue: "The simulator runs no subtitle experiment in this drop." } }),
  made("stat", "At a glance", [number("landed", [48211]), number("converted", [3120]), number("ordered_rate", [0.0647]), number("gap_share", [0.031]), number("open_panes", [0]), string("maturity", ["provisional"])], {
    options: { textMode: "value_and_name", graphMode: "none", reduceOptions: { calcs: ["lastNotNull"], fields: "/.*/" } }, defaults: { unit: "short" },
    overrides: [byName("ordered_rate", { unit: "percentunit", decimals: 1, displayName: "landed to completed, in order" }), byName("gap_share", { unit: "percentunit", decimals: 1, displayName: "left out of the funnel", thresholds: thresholds([null, "green"], [0.02, "red"]) }),
      byName("maturity", { displayName: "numbers are", mappings: [{ type: "value", options: { provisional: { color: "orange", index: 0 }, final: { color: "green", index: 1 } } }] })],
  }),
  made("stat", "Stat with a ground and a trail", [time(), number("burn rate", noise(7, 3, 1)), number("lag", noise(8, 400, 60))], { options: { colorMode: "background", graphMode: "area" }, defaults: { decimals: 1, thresholds: thresholds([null, "green"], [0.2, "orange"], [20, "red"]) } }),
  made("gauge", "Error budget", [number("en", [0.82]), number("es", [0.35]), number("ja", [0.04])], { defaults: { unit: "percentunit", min: 0, max: 1, thresholds: thresholds([null, "red"], [0.1, "orange"], [0.5, "green"]) } }),
  made("bargauge", "Spend against cap", [string("pop", pops), number("spend", pops.map((_, i) => 120 + i * 95))], { options: { reduceOptions: { values: true }, orientation: "horizontal", displayMode: "gradient" }, defaults: { unit: "currencyUSD", min: 0, max: 1000, displayName: "", thresholds: thresholds([null, "green"], [700, "orange"], [900, "red"]) } }),
  made("barchart", "Funnel", [string("step", ["landing", "impression", "click", "started", "completed"]), number("players", [48211, 40120, 12044, 5120, 3120]), number("share", [1, 0.832, 0.25, 0.106, 0.0647])], {
    options: { xField: "step", showValue: "always", legend: { ...quiet, showLegend: false } }, defaults: { unit: "short", min: 0, custom: { fillOpacity: 80, axisLabel: "players" } }, overrides: [byName("share", { unit: "percentunit", "custom.hideFrom": { viz: true, legend: true, tooltip: false } })],
  }),
  made("barchart", "Horizontal, stacked", [string("creator", ["Mira Okafor", hostile, "Nils", "Aiko Tanaka", "The Long Named Creator of Things"]), number("split", [5200, 4100, 3000, 900, 400]), number("held", [800, 400, 100, 50, 300])], {
    options: { xField: "creator", orientation: "horizontal", stacking: "normal", showValue: "auto", legend: quiet }, defaults: { unit: "currencyEUR" },
  }),
  made("table", "POPs compared", [string("pop", pops), number("players", pops.map((_, i) => 5000 - i * 412)), number("p95_ms", pops.map((_, i) => 88.4 + i * 41)), number("converted", pops.map((_, i) => 0.08 - i * 0.005)), number("cap", pops.map((_, i) => 0.2 + i * 0.09)), string("maturity", pops.map((_, i) => (i > 6 ? "provisional" : "final"))), { name: "newest", type: "time", values: pops.map((_, i) => start + i * 1e6) }], {
    options: { sortBy: [{ displayName: "players", desc: true }] }, defaults: { unit: "short", links: undefined },
    overrides: [byName("p95_ms", { unit: "ms", "custom.cellOptions": { type: "color-text" }, thresholds: thresholds([null, "green"], [200, "orange"], [400, "red"]) }), byName("converted", { unit: "percentunit", decimals: 1 }),
      byName("cap", { unit: "percentunit", min: 0, max: 1, "custom.cellOptions": { type: "gauge", mode: "gradient" }, thresholds: thresholds([null, "green"], [0.7, "orange"], [0.9, "red"]) }),
      byName("maturity", { "custom.cellOptions": { type: "color-background" }, mappings: [{ type: "value", options: { provisional: { color: "orange" }, final: { color: "green" } } }] }), byName("pop", { links: [{ title: "Edge", url: "/d/droplift-edge-revenue?var-pop=${__value.raw}&${__url_time_range}" }] })],
  }),
  made("heatmap", "Subtitle delay (rows of buckets)", [time(cells.map((c) => c.t)), number("bucket_low", cells.map((c) => c.low)), number("bucket_high", cells.map((c) => c.high)), number("cues", cells.map((c) => c.n))], {
    options: { color: { mode: "scheme", scheme: "Oranges", steps: 64, exponent: 0.5 }, yAxis: { unit: "ms", axisLabel: "delay" }, legend: { show: true } },
  }),
  made("heatmap", "Retention triangle (a series per row)", [time(cells.map((c) => c.t)), string("le", cells.map((c) => String(c.high))), number("n", cells.map((c) => c.n))], { long: true, options: { color: { scheme: "Viridis", mode: "scheme" } } }),
  made("histogram", "Time to convert", [number("minutes", spread), number("control", spread.map((v) => v * 1.2))], { options: { bucketCount: 30, legend: quiet }, defaults: { unit: "m", custom: { fillOpacity: 40 } } }),
  made("xychart", "Conversion by latency with intervals", [string("pop", pops), number("latency", pops.map((_, i) => 60 + i * 33)), number("conversion", pops.map((_, i) => 0.08 - i * 0.0055)), number("conversion_low", pops.map((_, i) => 0.07 - i * 0.006)), number("conversion_high", pops.map((_, i) => 0.092 - i * 0.0048))], {
    options: { mapping: "auto", legend: quiet }, defaults: { unit: "percentunit" }, overrides: [byName("latency", { unit: "ms", "custom.axisLabel": "p95 of the landing" })],
  }),
  made("trend", "Time to convert (curve)", [number("minutes", Array.from({ length: 120 }, (_, i) => i * 2)), number("control", Array.from({ length: 120 }, (_, i) => 0.09 * (1 - Math.exp(-i / 30)))), number("treated", Array.from({ length: 120 }, (_, i) => 0.12 * (1 - Math.exp(-i / 26)))), number("at_risk", Array.from({ length: 120 }, (_, i) => 48000 - i * 360))], {
    options: { xField: "minutes", legend: quiet }, defaults: { unit: "percentunit", min: 0, custom: { axisLabel: "converted", lineWidth: 1, lineInterpolation: "stepAfter" } },
    overrides: [byName("minutes", { unit: "m", "custom.axisLabel": "since the first landing" }), byName("at_risk", { unit: "short", color: { mode: "fixed", fixedColor: "gray" }, "custom.axisPlacement": "right", "custom.axisLabel": "players at risk" })],
  }),
  made("state-timeline", "Cap state by POP", [time([0, 60, 130, 190, 300].map((m) => start + m * minute)), string("ams", ["ok", "watch", "ok", "ok", "watch"]), string("nrt", ["ok", "throttle", "throttle", "cap reached", "ok"]), string(hostile, ["ok", null, "watch", "ok", "ok"])], {
    options: { legend: quiet, showValue: "auto" }, defaults: { mappings: [{ type: "value", options: { ok: { color: "green" }, watch: { color: "yellow" }, throttle: { color: "orange" }, "cap reached": { color: "red" } } }] },
  }),
  made("text", "Notes", [], { options: { content: `## What this is\n\nNumbers marked **provisional** can still change. See \`droplift audit\` and [the runbook](https://example.org/runbook).\n\n- ${hostile}\n- intervals are 95 %` } }),
];
