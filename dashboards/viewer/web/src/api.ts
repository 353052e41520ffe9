// What the viewer's server answers, see package viewer.

/** Values of one column; times are Unix ms (UTC), absent values null. */
export interface Column {
  name: string;
  type: "time" | "number" | "string" | "boolean";
  values: (number | string | boolean | null)[];
  /** Labels of a Prometheus series, empty otherwise. */
  labels?: Record<string, string>;
}

/** The answer of one query. A Prometheus answer is one frame per series: a time column and a value column. */
export interface Frame {
  ref: string;
  /** The series' name by the query's legend; absent for SQL. */
  name?: string;
  columns: Column[];
  /** The answer had more rows than are sent. */
  truncated?: boolean;
}

/** Time range [from, to) in Unix ms that the server took, and the step of series in seconds. */
export interface Range {
  from: number;
  to: number;
  step: number;
}

export interface PanelAnswer {
  range: Range;
  frames: Frame[];
  /** Unix ms of the oldest sample, where the asked range begins earlier: range then begins there, too. */
  since?: number;
}

/** Why there is no answer: what went wrong, and what to do. */
export interface Problem {
  class: "bad_request" | "unauthorized" | "unknown" | "unknown_drop" | "away" | "timeout" | "too_much" | "internal";
  message: string;
  fix?: string;
}

export interface Option {
  text: string;
  value: string;
}

/** A mark over time; timeEnd is null for a moment or while it lasts. */
export interface Annotation {
  layer: string;
  color: string;
  time: number;
  timeEnd: number | null;
  title: string;
  text: string;
  tags: string[];
}

export interface Alert {
  name: string;
  state: "inactive" | "pending" | "firing";
  severity: string;
  owner: string;
  summary: string;
  nextStep: string;
  runbook: string;
  dashboard: string;
  labels: Record<string, string>;
  /** Unix ms since which the state holds. */
  since: number | null;
  value: number | null;
}

/** A dashboard in the list. */
export interface Entry {
  uid: string;
  title: string;
  description: string;
}
