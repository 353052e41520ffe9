// When what is asked of the server. It knows no DOM and no fetch: tests run it on fake timers.

/** failed: this job got an error; away: nothing answers, so no job would. */
export type Outcome = "ok" | "failed" | "away";

export interface Job {
  /** Asks once. The signal ends a run whose answer nobody wants any more. */
  run(signal: AbortSignal): Promise<Outcome>;
  /** Ms between runs: the scheduler's interval if absent, Infinity for a job that succeeds just once. */
  every?: number;
  /** What the user watches: its successes count as "updated". */
  watched?: boolean;
}

export interface Handle {
  /** Only a shown job runs. */
  show(visible: boolean): void;
  /** The job's question changed: end its run and ask again. */
  again(): void;
  remove(): void;
}

interface Entry {
  job: Job;
  order: number;
  due: number;
  /** Start of the last run that ended well; a first run never waits its turn in the stagger. */
  asked: number | null;
  visible: boolean;
  failures: number;
  running: AbortController | null;
}

/** backoff is how long to wait after so many failures in a row: base, doubled each time, at most longest. */
export const backoff = (failures: number, base: number, longest: number): number => Math.min(longest, base * 2 ** Math.min(failures - 1, 16));

export class Scheduler {
  /** When a watched job last succeeded, in the clock's ms; null: never. */
  updated: number | null = null;
  /** When the server is asked again after it went away; null: it answers. */
  retryAt: number | null = null;

  private entries = new Set<Entry>();
  private order = 0;
  private interval = 0;
  private hidden = false;
  private awayFailures = 0;
  private lastStart = -Infinity;
  private timer: ReturnType<typeof setTimeout> | undefined;
  private listeners = new Set<() => void>();

  /** At most concurrency runs at once; a browser opens six connections to a host, and one stays free for the user. */
  constructor(private readonly concurrency = 5) {}

  /** Listens to updated and retryAt. */
  subscribe(listener: () => void): () => void {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  }

  add(job: Job, visible: boolean): Handle {
    const entry: Entry = { job, order: this.order++, due: 0, asked: null, visible, failures: 0, running: null };
    this.entries.add(entry);
    this.pump();
    return {
      show: (v) => {
        entry.visible = v;
        this.pump();
      },
      again: () => {
        entry.running?.abort();
        Object.assign(entry, { running: null, due: 0, asked: null, failures: 0 });
        this.pump();
      },
      remove: () => {
        entry.running?.abort();
        this.entries.delete(entry);
        this.pump();
      },
    };
  }

  /** Sets the interval of jobs without one of their own; 0 stops their refresh. */
  setInterval(ms: number): void {
    if (ms === this.interval) return;
    this.interval = ms;
    for (const e of this.entries) {
      if (!e.running && e.failures === 0 && e.asked !== null) e.due = this.next(e, e.asked);
    }
    this.pump();
  }

  /** Nobody looks at a hidden page: nothing starts until it is shown again. */
  setHidden(hidden: boolean): void {
    this.hidden = hidden;
    this.pump();
  }

  /** Asks everything now, also a server that was away. */
  refresh(): void {
    for (const e of this.entries) {
      if (e.job.every !== Infinity || e.failures > 0) e.due = 0;
    }
    if (this.retryAt !== null) this.retryAt = 0;
    this.pump();
  }

  /** waiting: nothing is watched; failing: nothing of it answers, but the server does. */
  watch(): "waiting" | "failing" | "fine" {
    const watched = [...this.entries].filter((e) => e.job.watched && e.visible);
    if (watched.length === 0) return "waiting";
    return watched.every((e) => e.failures > 0) ? "failing" : "fine";
  }

  private every(e: Entry): number {
    return e.job.every ?? (this.interval || Infinity);
  }

  private next(e: Entry, asked: number): number {
    return asked + this.every(e);
  }

  /** Starts what is due and sets the timer for what comes next. */
  private pump(): void {
    clearTimeout(this.timer);
    if (this.hidden) return;
    const now = Date.now();
    const entries = [...this.entries];
    let free = this.concurrency - entries.filter((e) => e.running).length;
    const waiting = entries.filter((e) => e.visible && !e.running && e.due < Infinity).sort((a, b) => a.due - b.due || a.order - b.order);
    if (waiting.length === 0) return;
    if (this.retryAt !== null) {
      // While the server is away one job probes it, and the others wait for the outcome.
      if (free < this.concurrency) return;
      if (now < this.retryAt) return this.wake(this.retryAt - now);
      const probe = waiting[0];
      if (probe) this.start(probe, now);
      return;
    }
    const gap = this.interval ? Math.min(100, this.interval / (2 * entries.length)) : 0;
    for (const e of waiting) {
      const at = e.asked === null ? e.due : Math.max(e.due, this.lastStart + gap);
      if (at > now) {
        this.wake(at - now);
        return;
      }
      if (free-- <= 0) return;
      this.start(e, now);
    }
  }

  private wake(ms: number): void {
    this.timer = setTimeout(() => this.pump(), Math.max(1, Math.ceil(ms)));
  }

  private start(e: Entry, now: number): void {
    const run = new AbortController();
    e.running = run;
    this.lastStart = now;
    void e.job
      .run(run.signal)
      .catch(() => "failed" as const)
      .then((outcome) => {
        if (e.running !== run) return; // asked again or removed meanwhile
        e.running = null;
        this.ended(e, now, outcome);
        for (const listener of this.listeners) listener();
        this.pump();
      });
  }

  private ended(e: Entry, asked: number, outcome: Outcome): void {
    const now = Date.now();
    if (outcome === "away") {
      this.awayFailures++;
      // Many pages lose the same server at once; they must not come back at once.
      this.retryAt = now + backoff(this.awayFailures, 1000, 15_000) * (0.75 + Math.random() / 2);
      e.due = now;
      return;
    }
    this.awayFailures = 0;
    this.retryAt = null;
    if (outcome === "failed") {
      e.failures++;
      e.due = now + backoff(e.failures, 5000, 60_000);
      return;
    }
    e.failures = 0;
    e.asked = asked;
    e.due = this.next(e, asked);
    if (e.job.watched) this.updated = now;
  }
}
