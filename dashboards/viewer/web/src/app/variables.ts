// What a dashboard lets people choose, and what a choice means for the others.
import type { Dashboard, Variable } from "../model";

/** choices are the variables that people fill: data sources are the server's own. */
export const choices = (dashboard: Dashboard): Variable[] => (dashboard.templating?.list ?? []).filter((v) => v.type === "query");

export const hasDrop = (dashboard: Dashboard): boolean => choices(dashboard).some((v) => v.name === "drop");

/** A dashboard with languages is about a stream's cues. */
export const hasCues = (dashboard: Dashboard): boolean => choices(dashboard).some((v) => v.name === "language");

export const labelOf = (variable: Variable): string => variable.label || variable.name;

/** chosen says a variable's values shortly. */
export function chosen(variable: Variable, values: string[] | undefined): string {
  if (!values || values.length === 0) return variable.includeAll ? "All" : String(variable.current?.text ?? "none yet");
  if (values.length <= 2) return values.join(", ");
  return `${values[0]} + ${values.length - 1}`;
}

/** toggled adds or removes a value of a variable that takes several. */
export const toggled = (values: string[] | undefined, value: string): string[] =>
  values?.includes(value) ? values.filter((v) => v !== value) : [...(values ?? []), value];

/** narrows says whether the choices of variable hang on those of name: its query then names it. */
function narrows(variable: Variable, name: string): boolean {
  return new RegExp(`\\$\\{${name}[:}]`).test(variable.definition ?? "");
}

/**
 * choose sets a variable. The choices narrowed by it start again, since their values may not exist any more; "All"
 * narrows nothing.
 */
export function choose(dashboard: Dashboard, vars: Record<string, string[]>, name: string, values: string[]): Record<string, string[]> {
  const out = { ...vars, [name]: values };
  if (values.length === 0) {
    delete out[name];
    return out;
  }
  for (const v of choices(dashboard)) {
    if (v.name !== name && narrows(v, name)) delete out[v.name];
  }
  return out;
}

/** query is what the server needs to answer: the range and the variables that this dashboard has. */
export function query(dashboard: Dashboard, vars: Record<string, string[]>, range: { from: string; to: string }): URLSearchParams {
  const q = new URLSearchParams({ from: range.from, to: range.to });
  for (const v of choices(dashboard)) {
    for (const value of vars[v.name] ?? []) q.append(`var-${v.name}`, value);
  }
  return q;
}
