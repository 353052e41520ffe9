// Numbers as text in Grafana's units. test/units.test.ts compares every unit with Grafana's own formats.

/** A number as text, with the marks around it. */
export interface Formatted {
  prefix: string;
  text: string;
  suffix: string;
}

/** Formats a value with this many decimals; undefined means as many as the value's size asks for. */
export type Format = (value: number, decimals?: number) => Formatted;

export const joined = (f: Formatted): string => f.prefix + f.text + f.suffix;

const plain = (text: string, suffix = "", prefix = ""): Formatted => ({ prefix, text, suffix });

/** Three digits that matter: the decimals that Grafana picks for a value. */
function ownDecimals(value: number): number {
  return value % 1 === 0 ? 0 : Math.max(0, 2 - Math.floor(Math.log(Math.abs(value)) / Math.LN10));
}

export function toFixed(value: number, decimals?: number): string {
  if (!Number.isFinite(value)) return value.toLocaleString("en-US");
  const places = decimals ?? ownDecimals(value);
  const rounded = Math.round(value * 10 ** places) / 10 ** places;
  const text = String(rounded);
  // Exponents stay: too large or too small for places to mean anything.
  return text.includes("e") ? text : rounded.toFixed(Math.max(0, places));
}

const fixed =
  (suffix: string, prefix = ""): Format =>
  (v, d) =>
    plain(toFixed(v, d), suffix && " " + suffix, prefix);

/** Divides by a power of factor so that one to three digits stand before the point. start names the value's own step. */
function scaled(factor: number, names: string[], start = 0): Format {
  return (v, d) => {
    const wanted = v === 0 || !Number.isFinite(v) ? 0 : Math.floor(Math.log10(Math.abs(v)) / Math.log10(factor));
    const step = Math.min(Math.max(wanted, -start), names.length - 1 - start);
    return plain(toFixed(v / factor ** step, d), names[start + step]);
  };
}

const siPrefixes = ["f", "p", "n", "µ", "m", "", "k", "M", "G", "T", "P", "E", "Z", "Y"];
const siBase = siPrefixes.indexOf("");
const si = (unit: string, offset = 0): Format => scaled(1000, siPrefixes.map((p) => ` ${p}${unit}`), siBase + offset);
const binary = (unit: string, offset = 0): Format => scaled(1024, ["", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei", "Zi", "Yi"].map((p) => ` ${p}${unit}`), offset);
const thousands = ["", "K", "M", "B", "T"];

function currency(symbol: string, behind = false): Format {
  const scale = scaled(1000, thousands);
  return (v, d) => {
    const f = scale(Math.abs(v), d);
    const sign = v < 0 ? "-" : "";
    return behind ? { ...f, prefix: sign, suffix: f.suffix + symbol } : { ...f, prefix: sign + symbol };
  };
}

function counted(unit: string): Format {
  const scale = scaled(1000, thousands);
  return (v, d) => {
    const f = scale(v, d);
    return { ...f, suffix: `${f.suffix} ${unit}` };
  };
}

/** Steps of a duration: below `under` the value is divided by `by`. Names marked with * take a plural. */
function duration(...steps: { under: number; by: number; name: string }[]): Format {
  return (v, d) => {
    const step = steps.find((s) => Math.abs(v) < s.under) ?? steps[steps.length - 1]!;
    const many = step.name.endsWith("*");
    // A fraction is multiplied by its whole inverse: 0.00001 s are 10 µs, not 10.0.
    const part = step.by < 1 ? v * Math.round(1 / step.by) : v / step.by;
    return plain(toFixed(part, d), ` ${many ? step.name.slice(0, -1) : step.name}${many && Math.abs(part) > 1 ? "s" : ""}`);
  };
}

const endless = Infinity;
const milliseconds = duration(
  { under: 1e3, by: 1, name: "ms" },
  { under: 6e4, by: 1e3, name: "s" },
  { under: 3.6e6, by: 6e4, name: "min*" },
  { under: 8.64e7, by: 3.6e6, name: "hour*" },
  { under: 3.1536e10, by: 8.64e7, name: "day*" },
  { under: endless, by: 3.1536e10, name: "year*" },
);
const wholeSeconds = duration(
  { under: 1e-6, by: 1e-9, name: "ns" },
  { under: 1e-3, by: 1e-6, name: "µs" },
  { under: 1, by: 1e-3, name: "ms" },
  { under: 60, by: 1, name: "s" },
  { under: 3600, by: 60, name: "min*" },
  { under: 86400, by: 3600, name: "hour*" },
  { under: 604800, by: 86400, name: "day*" },
  { under: 31536000, by: 604800, name: "week*" },
  { under: endless, by: 31556900, name: "year*" },
);

const clock = (seconds: number): string => {
  const parts = [seconds / 3600, (seconds % 3600) / 60, seconds % 60];
  return parts.map((p) => String(Math.floor(p)).padStart(2, "0")).join(":");
};
const ago = (format: (v: number) => string): Format => (v) => (v < 0 ? plain(format(-v), " ago") : plain(format(v)));

const two = (n: number) => String(n).padStart(2, "0");

/** A time as 2025-10-04 18:30:05, in UTC. */
export function isoTime(ms: number, withMs = false): string {
  const t = new Date(ms);
  if (Number.isNaN(t.getTime())) return "Invalid date";
  const day = `${t.getUTCFullYear()}-${two(t.getUTCMonth() + 1)}-${two(t.getUTCDate())}`;
  const time = `${two(t.getUTCHours())}:${two(t.getUTCMinutes())}:${two(t.getUTCSeconds())}`;
  return `${day} ${time}${withMs ? "." + String(t.getUTCMilliseconds()).padStart(3, "0") : ""}`;
}

/** The pattern letters of time:PATTERN that we know; other text stays. */
function patterned(pattern: string): Format {
  return (ms) => {
    const t = new Date(ms);
    const parts: Record<string, string> = {
      YYYY: String(t.getUTCFullYear()), MM: two(t.getUTCMonth() + 1), DD: two(t.getUTCDate()), HH: two(t.getUTCHours()),
      mm: two(t.getUTCMinutes()), ss: two(t.getUTCSeconds()), SSS: String(t.getUTCMilliseconds()).padStart(3, "0"),
      MMM: t.toLocaleString("en-US", { month: "short", timeZone: "UTC" }), ddd: t.toLocaleString("en-US", { weekday: "short", timeZone: "UTC" }),
    };
    return plain(pattern.replace(/YYYY|MMM|MM|DD|HH|mm|ss|SSS|ddd/g, (p) => parts[p]!));
  };
}

const asNumber: Format = (v, d) => plain(toFixed(v, d));
const asTime: Format = (ms) => plain(isoTime(ms));

const formats: Record<string, Format> = {
  none: asNumber,
  string: (v) => plain(String(v)),
  short: scaled(1000, ["", " K", " Mil", " Bil", " Tri", " Quadr", " Quint", " Sext", " Sept"]),
  sishort: si(""),
  locale: (v, d) => plain(v.toLocaleString("en-US", { maximumFractionDigits: d })),
  sci: (v, d) => plain(v.toExponential(d)),
  percent: (v, d) => plain(toFixed(v, d), "%"),
  percentunit: (v, d) => plain(toFixed(100 * v, d), "%"),
  dB: fixed("dB"),
  ppm: fixed("ppm"),
  pixel: fixed("px"),
  bool: (v) => plain(v ? "True" : "False"),
  bool_yes_no: (v) => plain(v ? "Yes" : "No"),
  bool_on_off: (v) => plain(v ? "On" : "Off"),

  ns: duration({ under: 1e3, by: 1, name: "ns" }, { under: 1e6, by: 1e3, name: "µs" }, { under: 1e9, by: 1e6, name: "ms" }, { under: 6e10, by: 1e9, name: "s" },
    { under: 3.6e12, by: 6e10, name: "min*" }, { under: 8.64e13, by: 3.6e12, name: "hour*" }, { under: endless, by: 8.64e13, name: "day*" }),
  "µs": duration({ under: 1e3, by: 1, name: "µs" }, { under: 1e6, by: 1e3, name: "ms" }, { under: endless, by: 1e6, name: "s" }),
  ms: milliseconds,
  // Zero seconds are 0 s, not 0 ns.
  s: (v, d) => (v === 0 ? plain("0", " s") : wholeSeconds(v, d)),
  m: duration({ under: 60, by: 1, name: "min" }, { under: 1440, by: 60, name: "hour*" }, { under: 10080, by: 1440, name: "day*" }, { under: 604800, by: 10080, name: "week*" },
    { under: endless, by: 525948, name: "year*" }),
  h: duration({ under: 24, by: 1, name: "hour" }, { under: 168, by: 24, name: "day*" }, { under: 8760, by: 168, name: "week*" }, { under: endless, by: 8760, name: "year*" }),
  d: duration({ under: 7, by: 1, name: "day*" }, { under: 365, by: 7, name: "week*" }, { under: endless, by: 365, name: "year*" }),
  dthms: ago(clock),
  dtdhms: ago((v) => (v >= 86400 ? `${Math.floor(v / 86400)} d ` : "") + clock(v % 86400)),
  hertz: si("Hz"),

  bytes: binary("B"), decbytes: si("B"), bits: binary("b"), decbits: si("b"),
  kbytes: binary("B", 1), deckbytes: si("B", 1), mbytes: binary("B", 2), decmbytes: si("B", 2), gbytes: binary("B", 3), decgbytes: si("B", 3),
  Bps: si("B/s"), binBps: binary("B/s"), bps: si("b/s"), binbps: binary("b/s"), pps: si("p/s"),

  cps: counted("c/s"), ops: counted("ops/s"), reqps: counted("req/s"), rps: counted("rd/s"), wps: counted("wr/s"), iops: counted("io/s"), eps: counted("evt/s"),
  mps: counted("msg/s"), recps: counted("rec/s"), rowsps: counted("rows/s"), cpm: counted("c/m"), opm: counted("ops/m"), reqpm: counted("req/m"), rpm: counted("rd/m"), wpm: counted("wr/m"),
  mpm: counted("msgs/m"), epm: counted("evts/m"), recpm: counted("rec/m"), rowspm: counted("rows/m"),

  currencyUSD: currency("$"), currencyEUR: currency("€"), currencyGBP: currency("£"), currencyJPY: currency("¥"), currencyBRL: currency("R$"), currencyINR: currency("₹"),
  currencyKRW: currency("₩"), currencyCHF: currency("CHF"), currencyPLN: currency("PLN"), currencySEK: currency("kr", true), currencyDKK: currency("kr", true), currencyNOK: currency("kr", true),

  dateTimeAsIso: asTime, dateTimeAsSystem: asTime, dateTimeAsLocal: asTime, dateTimeAsIsoNoDateIfToday: asTime,
};

const prefixed: Record<string, (rest: string) => Format> = {
  prefix: (p) => fixed("", p),
  suffix: (s) => fixed(s),
  time: patterned,
  si: (unit) => {
    const at = siPrefixes.indexOf(unit.charAt(0).normalize("NFKD").replace("μ", "µ"));
    return at < 0 || unit === "" ? si(unit) : si(unit.slice(1), at - siBase);
  },
  count: counted,
  currency: (symbol) => {
    const [kind, money = "", side] = symbol.split(":");
    if (kind !== "financial") return currency(symbol);
    return (v, d) => {
      const text = v.toLocaleString("en-US", d === undefined ? { maximumFractionDigits: 1 } : { minimumFractionDigits: d, maximumFractionDigits: d });
      return side === "suffix" ? plain(text, money) : plain(text, "", money);
    };
  },
  bool: (words) => {
    const [yes = "", no = "-"] = words.split("/");
    return (v) => plain(v ? yes : no);
  },
};

/** The format of a unit. A name that no format has is shown behind the number, as Grafana does. */
export function formatOf(unit: string | undefined): Format {
  if (!unit) return asNumber;
  const known = Object.hasOwn(formats, unit) ? formats[unit] : undefined;
  if (known) return known;
  const colon = unit.indexOf(":");
  const kind = unit.slice(0, Math.max(colon, 0));
  return Object.hasOwn(prefixed, kind) ? prefixed[kind]!(unit.slice(colon + 1)) : fixed(unit);
}

/** Whether a unit shows moments in time. */
export const isTimeUnit = (unit: string | undefined): boolean => !!unit && (unit.startsWith("dateTime") || unit.startsWith("time:"));

/** The units of the list above, for the comparison with Grafana. */
export const knownUnits = Object.keys(formats);

/** What a unit counts in: the ticks of its axis follow it. */
export function scaleOf(unit: string | undefined): "binary" | "s" | "ms" | "min" | "h" | "decimal" {
  if (!unit) return "decimal";
  if (["bytes", "bits", "kbytes", "mbytes", "gbytes", "binBps", "binbps"].includes(unit)) return "binary";
  return ({ s: "s", ms: "ms", m: "min", h: "h", dthms: "s", dtdhms: "s" } as const)[unit] ?? "decimal";
}
