// Asks the viewer's server. Every failure is a Failure that says what to do.
import type { Alert, Annotation, Entry, Option, PanelAnswer, Problem } from "./api";
import type { Dashboard } from "./model";

export interface Info {
  version: string;
  title: string;
  now: number;
  demo: boolean;
  token: boolean;
}

/** Why a request failed. unreachable: no answer of the server at all, so other requests fail alike. */
export class Failure extends Error {
  constructor(
    readonly problem: Problem,
    readonly unreachable = false,
  ) {
    super(problem.message);
  }
}

const lost = () =>
  new Failure({ class: "away", message: "The server of this page does not answer.", fix: "It is asked again by itself; see whether droplift still runs." }, true);

/** Fetches JSON. Throws Failure, or the signal's AbortError. */
async function get<T>(path: string, signal?: AbortSignal): Promise<T> {
  let response: Response;
  let body: unknown;
  try {
    response = await fetch(path, { signal: signal ?? null, headers: { Accept: "application/json" } });
    body = await response.json();
  } catch (err) {
    if (signal?.aborted) throw err;
    // A proxy's or a restarting server's answer is no JSON either: nothing of ours answered.
    throw lost();
  }
  if (response.ok) return body as T;
  const problem = (body as { error?: Problem } | null)?.error;
  if (!problem) throw lost();
  throw new Failure(problem);
}

const dashboardPath = (uid: string) => `/api/dashboards/${encodeURIComponent(uid)}`;

export const fetchInfo = (signal?: AbortSignal) => get<Info>("/api/info", signal);
export const fetchDashboards = (signal?: AbortSignal) => get<Entry[]>("/api/dashboards", signal);
export const fetchDashboard = (uid: string, signal?: AbortSignal) => get<Dashboard>(dashboardPath(uid), signal);
export const fetchAlerts = (signal?: AbortSignal) => get<Alert[]>("/api/alerts", signal);

export const panelPath = (uid: string, id: number, query: URLSearchParams) => `${dashboardPath(uid)}/panels/${id}?${query}`;

export const fetchPanel = (uid: string, id: number, query: URLSearchParams, signal?: AbortSignal) =>
  get<PanelAnswer>(panelPath(uid, id, query), signal);

export const fetchAnnotations = (uid: string, query: URLSearchParams, signal?: AbortSignal) =>
  get<Annotation[]>(`${dashboardPath(uid)}/annotations?${query}`, signal);

/** The choices of a variable whose text contains search, at most limit; more says that there are others. */
export function fetchOptions(uid: string, name: string, query: URLSearchParams, search: string, limit: number, signal?: AbortSignal) {
  const q = new URLSearchParams(query);
  if (search) q.set("q", search);
  q.set("limit", String(limit));
  return get<{ options: Option[]; more: boolean }>(`${dashboardPath(uid)}/variables/${encodeURIComponent(name)}?${q}`, signal);
}
