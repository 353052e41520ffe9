// Texts of Grafana with ${...} in them, and its regular expressions.

/** What ${...} can name, by its path: "__field.name". undefined leaves the text as it stands. */
export type Lookup = (path: string) => string | undefined;

const macro = /\$\{([^}:]+)(?::[^}]*)?\}/g;
// ${__field.labels["a b"]} is ${__field.labels.a b}.
const bracket = /\[["']([^"']*)["']\]/g;

export const interpolate = (text: string, lookup: Lookup): string =>
  text.replace(macro, (whole, path: string) => lookup(path.replace(bracket, ".$1")) ?? whole);

/** The regular expression of a text like /a.*b/i; a text without slashes is matched as a whole. */
export function regexp(text: string): RegExp | undefined {
  const parts = /^\/(.*)\/([gimsuy]*)$/s.exec(text);
  try {
    return parts ? new RegExp(parts[1]!, parts[2]!.replace("g", "")) : new RegExp(`^${text}$`);
  } catch {
    return undefined;
  }
}
