// State that lives in the browser: the address, the size of things, what is asked of the server.
import { useCallback, useEffect, useLayoutEffect, useRef, useState } from "preact/hooks";
import type { Problem } from "../api";
import { Failure } from "../client";
import { formatPlace, parsePlace, type Place } from "./place";
import type { Handle, Scheduler } from "./refresh";

/** Go changes the place. replace keeps the history as it is: for what the user did not choose. */
export type Go = (change: Partial<Place>, replace?: boolean) => void;

/** usePlace is the place in the address, which is its only home: back and forward work by themselves. */
export function usePlace(): [Place, Go] {
  const read = () => parsePlace(location.pathname, location.search);
  const [place, setPlace] = useState(read);
  useEffect(() => {
    const moved = () => setPlace(read());
    addEventListener("popstate", moved);
    return () => removeEventListener("popstate", moved);
  }, []);
  const go = useCallback<Go>((change, replace = false) => {
    const next = { ...read(), ...change };
    const address = formatPlace(next);
    if (address === location.pathname + location.search) return;
    if (replace) history.replaceState(null, "", address);
    else history.pushState(null, "", address);
    setPlace(next);
  }, []);
  return [place, go];
}

/** What a job has brought so far. */
export interface Loaded<T> {
  data: T | null;
  /** The question that data answers; another than asked while the new answer is under way. */
  key: string | null;
  problem: Problem | null;
}

/** useJob asks load again and again, as the scheduler decides, and at once when key changes. A null key asks nothing. */
export function useJob<T>(
  scheduler: Scheduler,
  key: string | null,
  load: (signal: AbortSignal) => Promise<T>,
  options: { visible?: boolean; every?: number; watched?: boolean } = {},
): Loaded<T> {
  const { visible = true, every, watched } = options;
  const [loaded, setLoaded] = useState<Loaded<T>>({ data: null, key: null, problem: null });
  const latest = useRef({ key, load });
  latest.current = { key, load };
  const handle = useRef<Handle | null>(null);
  const asks = key !== null;
  const before = useRef(key);

  useEffect(() => {
    if (!asks) return;
    const run = async (signal: AbortSignal) => {
      const { key, load } = latest.current;
      try {
        const data = await load(signal);
        if (!signal.aborted) setLoaded({ data, key, problem: null });
        return "ok" as const;
      } catch (err) {
        if (signal.aborted) return "failed" as const;
        setLoaded((was) => ({ ...was, problem: problemOf(err) }));
        return err instanceof Failure && err.unreachable ? ("away" as const) : ("failed" as const);
      }
    };
    before.current = latest.current.key;
    handle.current = scheduler.add({ run, every, watched }, visible);
    return () => {
      handle.current?.remove();
      handle.current = null;
    };
  }, [scheduler, asks, every, watched]);

  useEffect(() => handle.current?.show(visible), [visible, asks]);
  useEffect(() => {
    if (before.current === key) return;
    before.current = key;
    setLoaded((was) => ({ ...was, problem: null }));
    handle.current?.again();
  }, [key]);
  return loaded;
}

export function problemOf(err: unknown): Problem {
  if (err instanceof Failure) return err.problem;
  return { class: "internal", message: err instanceof Error ? err.message : String(err), fix: "Load the page again." };
}

/** useSize is the content size of an element in CSS pixels; 0 until it is laid out. */
export function useSize() {
  const ref = useRef<HTMLDivElement>(null);
  const [size, setSize] = useState({ width: 0, height: 0 });
  useLayoutEffect(() => {
    const element = ref.current;
    if (!element) return;
    const observer = new ResizeObserver(() => {
      const next = { width: element.clientWidth, height: element.clientHeight };
      setSize((was) => (was.width === next.width && was.height === next.height ? was : next));
    });
    observer.observe(element);
    return () => observer.disconnect();
  }, []);
  return { ref, ...size };
}

/** useShown says whether an element is on the screen or just beyond its edge. */
export function useShown() {
  const ref = useRef<HTMLElement>(null);
  const [shown, setShown] = useState(false);
  useEffect(() => {
    const element = ref.current;
    if (!element) return;
    const observer = new IntersectionObserver((entries) => setShown(entries.at(-1)?.isIntersecting ?? false), { rootMargin: "200px" });
    observer.observe(element);
    return () => observer.disconnect();
  }, []);
  return { ref, shown };
}

/** useNow is the wall clock, once a second. */
export function useNow(): number {
  const [now, setNow] = useState(Date.now);
  useEffect(() => {
    const timer = setInterval(() => setNow(Date.now()), 1000);
    return () => clearInterval(timer);
  }, []);
  return now;
}

/** useMedia follows a media query. */
export function useMedia(query: string): boolean {
  const [matches, setMatches] = useState(() => matchMedia(query).matches);
  useEffect(() => {
    const list = matchMedia(query);
    const changed = () => setMatches(list.matches);
    changed();
    list.addEventListener("change", changed);
    return () => list.removeEventListener("change", changed);
  }, [query]);
  return matches;
}
