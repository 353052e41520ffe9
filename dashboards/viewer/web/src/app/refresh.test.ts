import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { backoff, type Job, type Outcome, Scheduler } from "./refresh";

beforeEach(() => {
  vi.useFakeTimers({ now: 0 });
  vi.spyOn(Math, "random").mockReturnValue(0.5); // no jitter
});
afterEach(() => {
  vi.restoreAllMocks();
  vi.useRealTimers();
});

/** A job that notes when it was asked and answers when it is told to, or after a fixed time. */
function probe(answer: { outcome: Outcome; after?: number } = { outcome: "ok" }) {
  const starts: number[] = [];
  const signals: AbortSignal[] = [];
  let finish: (outcome: Outcome) => void = () => {};
  const job: Job = {
    watched: true,
    run: (signal) => {
      starts.push(Date.now());
      signals.push(signal);
      return new Promise((resolve) => {
        finish = resolve;
        if (answer.after === 0) resolve(answer.outcome);
        else if (answer.after) setTimeout(() => resolve(answer.outcome), answer.after);
      });
    },
  };
  return { job, starts, signals, answer, finish: async (outcome: Outcome) => { finish(outcome); await vi.advanceTimersByTimeAsync(0); } };
}

const passes = (ms: number) => vi.advanceTimersByTimeAsync(ms);

describe("refresh", () => {
  test("asks at once and then at each interval, counted from the start of the last run", async () => {
    const s = new Scheduler();
    s.setInterval(5000);
    const p = probe({ outcome: "ok", after: 200 });
    s.add(p.job, true);
    await passes(12_000);
    expect(p.starts).toEqual([0, 5000, 10_000]);
    expect(s.updated).toBe(10_200);
  });

  test("never asks twice at once, however slow the answer", async () => {
    const s = new Scheduler();
    s.setInterval(5000);
    const p = probe();
    s.add(p.job, true);
    await passes(60_000);
    s.refresh();
    expect(p.starts).toEqual([0]);
    await p.finish("ok");
    expect(p.starts).toEqual([0, 60_000]);
  });

  test("off asks just once, until someone wants it again", async () => {
    const s = new Scheduler();
    const p = probe({ outcome: "ok", after: 10 });
    s.add(p.job, true);
    await passes(100_000);
    expect(p.starts).toEqual([0]);
    s.refresh();
    await passes(10);
    expect(p.starts).toEqual([0, 100_000]);
    s.setInterval(10_000);
    await passes(10_000);
    expect(p.starts).toEqual([0, 100_000, 110_000]);
  });

  test("a shorter interval holds from now on", async () => {
    const s = new Scheduler();
    s.setInterval(60_000);
    const p = probe({ outcome: "ok", after: 0 });
    s.add(p.job, true);
    await passes(20_000);
    s.setInterval(10_000);
    await passes(0);
    expect(p.starts).toEqual([0, 20_000]);
  });

  test("a job of its own interval keeps it, and one for once is not refreshed", async () => {
    const s = new Scheduler();
    s.setInterval(5000);
    const [slow, once] = [probe({ outcome: "ok", after: 0 }), probe({ outcome: "ok", after: 0 })];
    s.add({ ...slow.job, every: 15_000 }, true);
    s.add({ ...once.job, every: Infinity }, true);
    await passes(31_000);
    s.refresh();
    await passes(1000);
    expect(slow.starts).toEqual([0, 15_000, 30_000, 31_000]);
    expect(once.starts).toEqual([0]);
  });

  test("no more than its concurrency at once, and refreshes apart from each other", async () => {
    const s = new Scheduler(2);
    s.setInterval(5000);
    const all = [probe({ outcome: "ok", after: 50 }), probe({ outcome: "ok", after: 50 }), probe({ outcome: "ok", after: 50 })];
    for (const p of all) s.add(p.job, true);
    await passes(4000);
    expect(all.map((p) => p.starts)).toEqual([[0], [0], [50]]);
    await passes(2000);
    expect(all.map((p) => p.starts[1])).toEqual([5000, 5100, 5200]);
  });
});

describe("sight", () => {
  test("what is out of sight is not asked, and is asked when it comes into sight", async () => {
    const s = new Scheduler();
    s.setInterval(5000);
    const p = probe({ outcome: "ok", after: 0 });
    const handle = s.add(p.job, false);
    await passes(7000);
    handle.show(true);
    await passes(1000);
    handle.show(false);
    await passes(20_000);
    handle.show(true);
    await passes(0);
    expect(p.starts).toEqual([7000, 28_000]);
  });

  test("a hidden page rests", async () => {
    const s = new Scheduler();
    s.setInterval(5000);
    const p = probe({ outcome: "ok", after: 0 });
    s.add(p.job, true);
    await passes(1000);
    s.setHidden(true);
    await passes(30_000);
    expect(p.starts).toEqual([0]);
    s.setHidden(false);
    await passes(0);
    expect(p.starts).toEqual([0, 31_000]);
  });
});

describe("change", () => {
  test("a new question ends the run of the old one, whose answer counts no more", async () => {
    const s = new Scheduler();
    const p = probe();
    const handle = s.add(p.job, true);
    const first = p.finish;
    handle.again();
    expect(p.signals.map((x) => x.aborted)).toEqual([true, false]);
    await p.finish("ok");
    expect(s.updated).toBe(0);
    await first("away");
    expect(s.retryAt).toBeNull();
  });

  test("a removed job ends", async () => {
    const s = new Scheduler();
    s.setInterval(5000);
    const p = probe();
    s.add(p.job, true).remove();
    expect(p.signals[0]?.aborted).toBe(true);
    await passes(20_000);
    expect(p.starts).toEqual([0]);
    expect(s.watch()).toBe("waiting");
  });
});

describe("trouble", () => {
  test("a job with errors waits longer each time, and others go on", async () => {
    const s = new Scheduler();
    s.setInterval(5000);
    const [bad, good] = [probe({ outcome: "failed", after: 0 }), probe({ outcome: "ok", after: 0 })];
    s.add(bad.job, true);
    s.add(good.job, true);
    await passes(36_000);
    expect(bad.starts).toEqual([0, 5000, 15_000, 35_000]);
    expect(good.starts).toHaveLength(8);
    expect(s.watch()).toBe("fine");
  });

  test("a run that throws is an error like others", async () => {
    const s = new Scheduler();
    s.add({ run: () => Promise.reject(new Error("x")), watched: true }, true);
    await passes(0);
    expect(s.watch()).toBe("failing");
  });

  test("while the server is away one job asks for all, and all ask when it is back", async () => {
    const s = new Scheduler();
    s.setInterval(5000);
    const all = [probe({ outcome: "away", after: 0 }), probe({ outcome: "away", after: 0 }), probe({ outcome: "away", after: 0 })];
    const seen: (number | null)[] = [];
    s.subscribe(() => seen.push(s.retryAt));
    for (const p of all) s.add(p.job, true);
    await passes(0);
    const asked = () => all.reduce((n, p) => n + p.starts.length, 0);
    const lost = asked();
    expect(s.retryAt).not.toBeNull();
    await passes(60_000);
    expect(asked() - lost).toBeLessThanOrEqual(7);
    for (const p of all) p.answer.outcome = "ok";
    s.refresh(); // the user does not wait
    await passes(1000);
    expect(s.retryAt).toBeNull();
    expect(seen.at(-1)).toBeNull();
    for (const p of all) expect(p.starts.at(-1)).toBeGreaterThanOrEqual(60_000);
  });

  test("waits double up to the longest", () => {
    expect([1, 2, 3, 4, 5, 40].map((n) => backoff(n, 5000, 60_000))).toEqual([5000, 10_000, 20_000, 40_000, 60_000, 60_000]);
  });
});
