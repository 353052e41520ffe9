// Colours: the names of Grafana's JSON in the theme at hand.

/** The colours of one theme, as panels.css has them. */
export interface Theme {
  text: string;
  muted: string;
  grid: string;
  background: string;
  palette: string[];
  named: Record<string, string>;
  dark: boolean;
}

const names = ["green", "red", "orange", "yellow", "blue", "purple", "gray"];

/** Reads the theme from the custom properties in force at an element. */
export function readTheme(element: Element, dark: boolean): Theme {
  const style = getComputedStyle(element);
  const get = (name: string) => style.getPropertyValue(`--viz-${name}`).trim();
  return {
    text: get("text"), muted: get("muted"), grid: get("grid"), background: get("background"), dark,
    palette: Array.from({ length: 8 }, (_, i) => get(`series-${i + 1}`)),
    named: Object.fromEntries(names.map((n) => [n, get(n)])),
  };
}

/** Stops of colour scales, from low to high, on a light ground (ColorBrewer; Viridis and the like of matplotlib). */
const scales: Record<string, string[]> = {
  oranges: ["#fff5eb", "#fdd0a2", "#fd8d3c", "#d94801", "#7f2704"], blues: ["#f7fbff", "#c6dbef", "#6baed6", "#2171b5", "#08306b"], greens: ["#f7fcf5", "#c7e9c0", "#74c476", "#238b45", "#00441b"],
  reds: ["#fff5f0", "#fcbba1", "#fb6a4a", "#cb181d", "#67000d"], purples: ["#fcfbfd", "#dadaeb", "#9e9ac8", "#6a51a3", "#3f007d"], greys: ["#ffffff", "#d9d9d9", "#969696", "#525252", "#000000"],
  ylorrd: ["#ffffcc", "#fed976", "#fd8d3c", "#e31a1c", "#800026"], ylgnbu: ["#ffffd9", "#c7e9b4", "#41b6c4", "#225ea8", "#081d58"], viridis: ["#440154", "#3b528b", "#21918c", "#5ec962", "#fde725"],
  magma: ["#000004", "#51127c", "#b73779", "#fc8961", "#fcfdbf"], inferno: ["#000004", "#57106e", "#bc3754", "#f98e09", "#fcffa4"], plasma: ["#0d0887", "#7e03a8", "#cc4778", "#f89540", "#f0f921"],
  cividis: ["#00224e", "#434e6c", "#7d7c78", "#bcae6c", "#fee838"], spectral: ["#d53e4f", "#fdae61", "#ffffbf", "#abdda4", "#3288bd"], rdylgn: ["#d73027", "#fdae61", "#ffffbf", "#a6d96a", "#1a9850"],
  rdbu: ["#b2182b", "#f4a582", "#f7f7f7", "#92c5de", "#2166ac"], gnylrd: ["#56a64b", "#f2cc0c", "#e02f44"],
};
/** Those that begin with near white, which a dark ground needs turned round. */
const onLight = new Set(["oranges", "blues", "greens", "reds", "purples", "greys", "ylorrd", "ylgnbu"]);

const continuous: Record<string, string[]> = {
  "continuous-GrYlRd": ["green", "yellow", "red"], "continuous-RdYlGr": ["red", "yellow", "green"], "continuous-BlYlRd": ["blue", "yellow", "red"], "continuous-YlRd": ["yellow", "red"],
  "continuous-BlPu": ["blue", "purple"], "continuous-YlBl": ["yellow", "blue"], "continuous-blues": ["background", "blue"], "continuous-reds": ["background", "red"],
  "continuous-greens": ["background", "green"], "continuous-purples": ["background", "purple"],
};

/** A colour scale by its name in the JSON, for the theme; turned round when reverse says so. */
export function scaleStops(theme: Theme, name: string, reverse = false): string[] {
  const key = name.toLowerCase();
  const stops = scales[Object.hasOwn(scales, key) ? key : "oranges"]!;
  return (theme.dark && onLight.has(key)) !== reverse ? [...stops].reverse() : stops;
}

type RGB = [number, number, number];

export function rgb(color: string): RGB | undefined {
  const short = /^#([0-9a-f])([0-9a-f])([0-9a-f])$/i.exec(color);
  const hex = short ? `#${short.slice(1).map((c) => c + c).join("")}` : color;
  const long = /^#([0-9a-f]{2})([0-9a-f]{2})([0-9a-f]{2})/i.exec(hex);
  if (long) return long.slice(1, 4).map((c) => parseInt(c, 16)) as RGB;
  const call = /^rgba?\((\d+)[, ]+(\d+)[, ]+(\d+)/.exec(color);
  return call ? (call.slice(1, 4).map(Number) as RGB) : undefined;
}

/** The colour between two, share 0 being the first. */
export function mix(a: string, b: string, share: number): string {
  const from = rgb(a);
  const to = rgb(b);
  if (!from || !to) return a;
  return `#${from.map((v, i) => Math.round(v + (to[i]! - v) * share).toString(16).padStart(2, "0")).join("")}`;
}

/** The colour at a share of a scale. */
export function alongScale(stops: string[], share: number): string {
  const at = Math.min(Math.max(share, 0), 1) * (stops.length - 1);
  const i = Math.min(Math.floor(at), stops.length - 2);
  return mix(stops[i]!, stops[i + 1]!, at - i);
}

export function withAlpha(color: string, alpha: number): string {
  const c = rgb(color);
  return c ? `rgba(${c.join(",")},${alpha})` : color;
}

/** Black or white, whichever reads better on a colour. */
export function inkOn(color: string): string {
  const c = rgb(color);
  if (!c) return "#000000";
  const [r, g, b] = c.map((v) => (v / 255 <= 0.04045 ? v / 255 / 12.92 : ((v / 255 + 0.055) / 1.055) ** 2.4)) as RGB;
  return 0.2126 * r + 0.7152 * g + 0.0722 * b > 0.18 ? "#000000" : "#ffffff";
}

const shades: [prefix: string, toward: string, share: number][] = [
  ["semi-dark-", "#000000", 0.18], ["dark-", "#000000", 0.36], ["super-light-", "#ffffff", 0.6], ["light-", "#ffffff", 0.35],
];

/** A colour as CSS: names of Grafana, palette:N, scales, or a CSS colour, which stays. undefined is the text's colour. */
export function colorOf(theme: Theme, name: string | undefined): string {
  if (!name || name === "text") return theme.text;
  if (name.startsWith("palette:")) return theme.palette[Number(name.slice(8)) % theme.palette.length]!;
  if (name.startsWith("continuous-")) {
    const [mode = "", share] = name.split(":");
    const stops = (continuous[mode] ?? continuous["continuous-GrYlRd"]!).map((n) => (n === "background" ? theme.background : theme.named[n]!));
    return alongScale(stops, Number(share));
  }
  const own = Object.hasOwn(theme.named, name) ? theme.named[name] : undefined;
  if (own) return own;
  for (const [prefix, toward, share] of shades) {
    const base = theme.named[name.slice(prefix.length)];
    if (name.startsWith(prefix) && base) return mix(base, toward, share);
  }
  return name;
}
