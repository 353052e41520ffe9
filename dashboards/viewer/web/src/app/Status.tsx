import { useEffect, useState } from "preact/hooks";
import { announce } from "./announce";
import { useNow } from "./hooks";
import { ago } from "./range";
import type { Scheduler } from "./refresh";

export type Freshness = "loading" | "live" | "stale" | "paused" | "lost";

/** freshness judges a page: stale is what missed three refreshes, and at least 15 s. */
export function freshness(now: number, updated: number | null, lost: boolean, interval: number): Freshness {
  if (lost) return "lost";
  if (interval === 0) return "paused";
  if (updated === null) return "loading";
  return now - updated > Math.max(15_000, 3 * interval) ? "stale" : "live";
}

const spoken: Record<Freshness, string> = {
  loading: "",
  live: "Live again.",
  stale: "The numbers are stale.",
  paused: "Refresh is off.",
  lost: "The server does not answer. Trying again.",
};

/** Status says how far the page can be trusted right now. */
export function Status({ scheduler, interval }: { scheduler: Scheduler; interval: number }) {
  const now = useNow();
  const [, redraw] = useState({});
  useEffect(() => scheduler.subscribe(() => redraw({})), [scheduler]);
  const { updated, retryAt } = scheduler;
  const state = freshness(now, updated, retryAt !== null, interval);
  const [before, setBefore] = useState(state);
  useEffect(() => {
    if (state === before) return;
    setBefore(state);
    if (before !== "loading" && spoken[state]) announce(spoken[state]);
  }, [state, before]);

  const age = updated === null ? "" : now - updated < 1000 ? "updated now" : `updated ${ago(now - updated)} ago`;
  const text = {
    loading: "loading",
    live: `live · ${age}`,
    stale: `stale · ${age}`,
    paused: `paused${age && ` · ${age}`}`,
    lost: `disconnected · trying again${retryAt !== null && retryAt > now ? ` in ${ago(retryAt - now)}` : ""}`,
  }[state];
  return (
    <span class={`status ${state}`}>
      <span class="dot" aria-hidden="true" />
      {text}
    </span>
  );
}
