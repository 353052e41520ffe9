// The time range as people choose and read it. The server resolves it; see its grammar in package viewer.

export interface Preset {
  label: string;
  from: string;
  to: string;
}

/** Ranges anchored in the chosen drop's event time. */
export const dropPresets: Preset[] = [
  { label: "Drop so far", from: "start-30m", to: "data" },
  { label: "Whole drop", from: "start-30m", to: "end" },
  { label: "Opening hour", from: "start", to: "start+1h" },
  { label: "Last hour of the data", from: "data-1h", to: "data" },
  { label: "Last 6 hours of the data", from: "data-6h", to: "data" },
];

/** While the drop's stream has subtitles, a small part of a long drop. */
const streamPreset: Preset = { label: "Stream so far", from: "first-cue-5m", to: "last-cue+5m" };

/** The drop's ranges for a dashboard, which is about cues or not. */
export const presetsOf = (hasCues: boolean): Preset[] => (hasCues ? [streamPreset, ...dropPresets] : dropPresets);

/** Ranges anchored in the wall clock. */
export const clockPresets: Preset[] = [
  { label: "Last hour", from: "now-1h", to: "now" },
  { label: "Last 24 hours", from: "now-24h", to: "now" },
];

/** defaultRange suits a dashboard: a simulated drop may lie in the past, where "now" shows nothing. */
export function defaultRange(hasDrop: boolean, hasCues: boolean, own: { from: string; to: string } | undefined): { from: string; to: string } {
  if (hasDrop && hasCues) return { from: streamPreset.from, to: streamPreset.to };
  if (hasDrop) return { from: "start-30m", to: "data" };
  return own ?? { from: "now-1h", to: "now" };
}

/** ofDrop says whether a moment hangs on a drop. */
export const ofDrop = (moment: string): boolean => /^(start|end|data|first-cue|last-cue)/.test(moment);

const words: Record<string, string> = { now: "now", start: "drop start", end: "drop end", data: "newest data", "first-cue": "first cue", "last-cue": "last cue" };

/** rangeLabel says a range in words: a preset's name, anchors spelled out, or UTC times. */
export function rangeLabel(from: string, to: string): string {
  const preset = [...presetsOf(true), ...clockPresets].find((p) => p.from === from && p.to === to);
  if (preset) return preset.label;
  const [a, b] = [absolute(from), absolute(to)];
  if (a !== null && b !== null) return spanLabel(a, b);
  return `${momentLabel(from)} – ${momentLabel(to)}`;
}

function momentLabel(moment: string): string {
  const at = absolute(moment);
  if (at !== null) return utc(at);
  const match = /^(now|start|end|data|first-cue|last-cue)(?:([+-])(\d+)([smhd]))?$/.exec(moment);
  if (!match) return moment;
  const anchor = words[match[1] ?? ""] ?? moment;
  if (!match[2]) return anchor;
  return `${anchor} ${match[2] === "-" ? "−" : "+"} ${match[3]} ${match[4]}`;
}

/** absolute is the Unix ms of a moment that needs no anchor, otherwise null. */
export function absolute(moment: string): number | null {
  if (/^-?\d{1,15}$/.test(moment)) return Number(moment);
  const ms = /^\d{4}-\d{2}-\d{2}T/.test(moment) ? Date.parse(moment) : NaN;
  return Number.isNaN(ms) ? null : ms;
}

/** utc writes Unix ms as "2025-10-11 18:00", with seconds only where there are some. */
export function utc(ms: number): string {
  const date = new Date(ms);
  if (Number.isNaN(date.getTime())) return "?";
  const text = date.toISOString().replace("T", " ");
  return ms % 60_000 === 0 ? text.slice(0, 16) : text.slice(0, 19);
}

/** spanLabel writes a range in UTC and names a common day once. */
export function spanLabel(from: number, to: number): string {
  const [a, b] = [utc(from), utc(to)];
  return a.slice(0, 10) === b.slice(0, 10) ? `${a} – ${b.slice(11)} UTC` : `${a} – ${b} UTC`;
}

/** sinceLabel says from when on there are metrics, with the day where it is not that of the range's end. */
export function sinceLabel(since: number, to: number): string {
  const [at, end] = [since, to].map((ms) => new Date(ms).toISOString().slice(0, 19).replace("T", " ")) as [string, string];
  return `since ${at.slice(0, 10) === end.slice(0, 10) ? at.slice(11) : at}`;
}

/** parseUTC reads a time as utc writes it: one way for all, where a browser's own field would follow its country. */
export function parseUTC(text: string): number | null {
  const match = /^\s*(\d{4}-\d{2}-\d{2})[ T](\d{2}:\d{2}(?::\d{2})?)\s*Z?\s*$/.exec(text);
  const ms = match ? Date.parse(`${match[1]}T${match[2]}Z`) : NaN;
  return Number.isNaN(ms) ? null : ms;
}

/** zoomed is a range that the pointer chose: whole seconds and at least 10 s, below which a step has no points. */
export function zoomed(from: number, to: number): { from: string; to: string } {
  const start = Math.floor(Math.min(from, to) / 1000) * 1000;
  const end = Math.max(Math.ceil(Math.max(from, to) / 1000) * 1000, start + 10_000);
  return { from: String(start), to: String(end) };
}

/** wider is the range twice as wide around the same middle. */
export function wider(from: number, to: number): { from: string; to: string } {
  const half = Math.round((to - from) / 2);
  return zoomed(from - half, to + half);
}

/** ago is a short age: "now", "3 s", "4 min", "2 h". */
export function ago(ms: number): string {
  const s = Math.max(0, Math.round(ms / 1000));
  if (s < 1) return "now";
  if (s < 90) return `${s} s`;
  if (s < 5400) return `${Math.round(s / 60)} min`;
  if (s < 48 * 3600) return `${Math.round(s / 3600)} h`;
  return `${Math.round(s / 86400)} d`;
}

/** The refresh intervals to choose from; "off" asks just once. */
export const refreshChoices = ["off", "5s", "10s", "1m"];

/** refreshMs reads "5s", "1m", "1h"; anything else is off, which is 0. */
export function refreshMs(text: string): number {
  const match = /^([1-9]\d{0,4})([smh])$/.exec(text);
  if (!match) return 0;
  return Number(match[1]) * { s: 1000, m: 60_000, h: 3_600_000 }[match[2] as "s" | "m" | "h"];
}
