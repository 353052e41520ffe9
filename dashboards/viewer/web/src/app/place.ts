// Where the user is: everything that a link must carry, and its form in the address.

export type ThemeChoice = "dark" | "light" | "system";

export interface Place {
  /** The dashboard; empty: the first one. */
  uid: string;
  /** Chosen values by variable. A variable without any stands for all, or for the first choice if it takes just one. */
  vars: Record<string, string[]>;
  /** The time range in the server's grammar; empty: the dashboard's. */
  from: string;
  to: string;
  /** "off", a duration such as "5s", or empty: the dashboard's. */
  refresh: string;
  theme: ThemeChoice | "";
  /** The panel that fills the screen. */
  panel: number | null;
  kiosk: boolean;
  /** Rows that are folded, by the id that layout.ts gives them. */
  folded: string[];
}

const themes: readonly string[] = ["dark", "light", "system"];
const variablePrefix = "var-";

/** parsePlace never fails: what it does not understand is left at its default. */
export function parsePlace(path: string, search: string): Place {
  const q = new URLSearchParams(search);
  const vars: Record<string, string[]> = {};
  for (const key of new Set(q.keys())) {
    if (!key.startsWith(variablePrefix) || key === variablePrefix) continue;
    const values = q.getAll(key).filter((v) => v !== "" && v !== "$__all");
    if (values.length > 0) vars[key.slice(variablePrefix.length)] = [...new Set(values)];
  }
  const theme = q.get("theme") ?? "";
  const panel = q.get("viewPanel") ?? "";
  return {
    uid: uidOf(path),
    vars,
    from: q.get("from") ?? "",
    to: q.get("to") ?? "",
    refresh: q.get("refresh") ?? "",
    theme: themes.includes(theme) ? (theme as ThemeChoice) : "",
    panel: /^\d{1,9}$/.test(panel) ? Number(panel) : null,
    kiosk: q.has("kiosk"),
    folded: q.getAll("fold").filter((row) => row !== ""),
  };
}

function uidOf(path: string): string {
  const encoded = /^\/d\/([^/]+)/.exec(path)?.[1] ?? "";
  try {
    return decodeURIComponent(encoded);
  } catch {
    return "";
  }
}

/** formatPlace is the address of a place; parsePlace gives the same place back. */
export function formatPlace(place: Place): string {
  const q = new URLSearchParams();
  for (const name of Object.keys(place.vars).sort()) {
    for (const value of place.vars[name] ?? []) q.append(variablePrefix + name, value);
  }
  if (place.from) q.set("from", place.from);
  if (place.to) q.set("to", place.to);
  if (place.refresh) q.set("refresh", place.refresh);
  if (place.theme) q.set("theme", place.theme);
  if (place.panel !== null) q.set("viewPanel", String(place.panel));
  if (place.kiosk) q.set("kiosk", "1");
  for (const row of place.folded) q.append("fold", row);
  const search = q.toString();
  return (place.uid ? `/d/${encodeURIComponent(place.uid)}` : "/") + (search ? `?${search}` : "");
}
