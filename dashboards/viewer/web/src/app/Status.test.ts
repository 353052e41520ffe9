import { expect, test } from "vitest";
import { freshness } from "./Status";

test.each([
  ["nothing came yet", 0, { updated: null, retryAt: null, watch: "fine" }, 5000, "loading"],
  ["fresh", 20_000, { updated: 6000, retryAt: null, watch: "fine" }, 5000, "live"],
  ["three refreshes missed", 21_001, { updated: 6000, retryAt: null, watch: "fine" }, 5000, "stale"],
  ["a slow refresh has its time", 150_000, { updated: 0, retryAt: null, watch: "fine" }, 60_000, "live"],
  ["refresh is off", 900_000, { updated: 0, retryAt: null, watch: "fine" }, 0, "paused"],
  ["the server is away", 0, { updated: 0, retryAt: 1000, watch: "failing" }, 0, "lost"],
  ["all panels fail", 0, { updated: null, retryAt: null, watch: "failing" }, 5000, "failing"],
  ["no panel on the page", 0, { updated: null, retryAt: null, watch: "waiting" }, 5000, "waiting"],
] as const)("%s", (_, now, scheduler, interval, state) => expect(freshness(now, scheduler, interval)).toBe(state));
