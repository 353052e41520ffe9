import { useEffect, useState } from "preact/hooks";
import { announce } from "./announce";
import { useNow } from "./hooks";
import { ago } from "./range";
import type { Scheduler } from "./refresh";

export type Freshness = "waiting" | "loading" | "failing" | "live" | "stale" | "paused" | "lost";

/** freshness judges a page: stale is what missed three refreshes, and at least 15 s. */
export function freshness(now: number, { updated, retryAt, watch }: { updated: number | null; retryAt: number | null; watch: "waiting" | "failing" | "fine" }, interval: number): Freshness {
  if (retryAt !== null) return "lost";
  if (watch !== "fine") return watch;
  if (interval === 0) return "paused";
  if (updated === null) return "loading";
  return now - updated > Math.max(15_000, 3 * interval) ? "stale" : "live";
}

const spoken: Record<Freshness, string> = {
  waiting: "",
  loading: "",
  failing: "The panels get no answers.",
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
  const state = freshness(now, { updated, retryAt, watch: scheduler.watch() }, interval);
  const [before, setBefore] = useState(state);
  useEffect(() => {
    document.documentElement.dataset["state"] = state;
    if (state === before) return;
    setBefore(state);
    if (before !== "loading" && before !== "waiting" && spoken[state]) announce(spoken[state]);
  }, [state, before]);

  const age = updated === null ? "" : now - updated < 1000 ? "updated now" : `updated ${ago(now - updated)} ago`;
  const text = {
    waiting: "waiting",
    loading: "loading",
    failing: `no answers${age && ` · ${age}`}`,
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
