import { useCallback, useEffect, useMemo, useRef, useState } from "preact/hooks";
import type { Annotation, Problem, Range } from "../api";
import { fetchAnnotations, fetchDashboard, fetchDashboards, fetchInfo, fetchOptions } from "../client";
import type { Hover } from "../panels";
import { Alerts } from "./Alerts";
import { Announcer, announce } from "./announce";
import { Cell } from "./cell";
import { Choice } from "./Choice";
import { Dialog, Icon } from "./Dialog";
import { Grid } from "./Grid";
import { type Go, useJob, usePlace } from "./hooks";
import { type Bodies, copy } from "./PanelFrame";
import { formatPlace, parsePlace, type Place, type ThemeChoice } from "./place";
import { RangePicker } from "./RangePicker";
import { defaultRange, ofDrop, rangeLabel, refreshChoices, refreshMs, zoomed } from "./range";
import { Scheduler } from "./refresh";
import { shortcuts, useShortcuts } from "./shortcuts";
import { Status } from "./Status";
import { rememberedTheme, rememberTheme, useTheme } from "./theme";
import { choices, choose, hasCues, hasDrop, query } from "./variables";

const themes: ThemeChoice[] = ["system", "dark", "light"];

/** How often the page looks for the first drop, and whether the server was replaced by another version. */
const drops = 10_000;
const versions = 60_000;

export function App() {
  const [place, go] = usePlace();
  const [open, setOpen] = useState("");
  const scheduler = useMemo(() => new Scheduler(), []);
  const hover = useMemo<Hover>(() => new Cell<number | null>(null), []);
  const answered = useMemo(() => new Cell<Range | null>(null), []);
  const bodies = useBodies();
  const theme = useTheme(place.theme || rememberedTheme());

  const entries = useJob(scheduler, "dashboards", fetchDashboards, { every: Infinity });
  const info = useJob(scheduler, "info", fetchInfo, { every: versions });
  const uid = place.uid || entries.data?.[0]?.uid || "";
  const loaded = useJob(scheduler, uid || null, (signal) => fetchDashboard(uid, signal), { every: Infinity });
  const dashboard = loaded.key === uid ? loaded.data : null;
  const refresh = place.refresh || dashboard?.refresh || "off";
  const interval = refreshMs(refresh);

  useEffect(() => scheduler.setInterval(interval), [scheduler, interval]);
  useHidden(scheduler);
  useReload(info.data?.version);
  useEffect(() => {
    document.title = dashboard ? `${dashboard.title} · Droplift` : "Droplift";
  }, [dashboard]);

  const own = dashboard ? defaultRange(hasDrop(dashboard), hasCues(dashboard), dashboard.time) : { from: "", to: "" };
  // A link from a drop's dashboard brings the drop's range along, which says nothing where there is no drop.
  const apart = dashboard !== null && !hasDrop(dashboard) && (ofDrop(place.from) || ofDrop(place.to));
  const range = apart ? own : { from: place.from || own.from, to: place.to || own.to };
  const wanted = dashboard ? query(dashboard, place.vars, range) : null;
  const { waiting, problem: dropProblem } = useDrop(scheduler, uid, dashboard !== null && hasDrop(dashboard), wanted, place, go);
  const asked = waiting === "" ? (wanted?.toString() ?? null) : null;
  const question = useMemo(() => (asked === null ? null : new URLSearchParams(asked)), [asked]);
  const annotations = useAnnotations(scheduler, uid, question);

  const [unknownDrop, setUnknownDrop] = useState<Problem | null>(null);
  const drop = place.vars["drop"]?.[0] ?? "";
  const announced = useJob(scheduler, unknownDrop && `${uid}/${drop}`, (signal) => fetchOptions(uid, "drop", question ?? new URLSearchParams(), drop, 200, signal), { every: drops });
  const known = announced.data?.options.some((o) => o.value === drop) ?? false;
  useEffect(() => setUnknownDrop(null), [uid, asked, known]);
  useEffect(() => answered.set(null), [uid, asked]);
  const onAnswer = useCallback((shown: Range) => {
    const was = answered.get();
    if (was?.from !== shown.from || was.to !== shown.to) answered.set(shown);
  }, []);
  const onProblem = useCallback((problem: Problem) => problem.class === "unknown_drop" && setUnknownDrop(problem), []);
  const onZoom = useCallback((from: number, to: number) => go(zoomed(from, to)), [go]);
  const onFull = useCallback((panel: number | null) => go({ panel }), [go]);
  const linkTo = useCallback((panel: number) => formatPlace({ ...placeRef.current, panel }), []);
  const full = { ...place, uid, from: range.from, to: range.to };
  const placeRef = useRef(full);
  placeRef.current = full;
  const addressOf = (to: string) => formatPlace({ ...place, uid: to, panel: null, folded: [] });

  const setTheme = (next: ThemeChoice) => {
    rememberTheme(next);
    go({ theme: next }, true);
  };
  const setKiosk = (kiosk: boolean) => {
    go({ kiosk });
    if (kiosk) void document.documentElement.requestFullscreen?.().catch(() => {});
    else if (document.fullscreenElement) void document.exitFullscreen();
    announce(kiosk ? "Wall mode. Press k or Escape to leave." : "Wall mode left.");
  };
  useAwake(place.kiosk);
  useFullscreenLeft(() => go({ kiosk: false }));
  useFocusKept(place.panel);
  const update = () => {
    scheduler.refresh();
    announce("Refreshing.");
  };

  useShortcuts(
    {
      d: () => setOpen("drop"),
      t: () => setOpen("range"),
      r: update,
      a: () => setOpen("alerts"),
      k: () => setKiosk(!place.kiosk),
      "?": () => setOpen("help"),
      Escape: () => (place.panel !== null ? go({ panel: null }) : place.kiosk && setKiosk(false)),
    },
    (panel) => go({ panel: place.panel === null ? panel : null }),
  );

  const opener = (name: string) => ({ open: open === name, onOpen: (is: boolean) => setOpen(is ? name : "") });
  const trouble = dashboard ? dropProblem : (entries.problem ?? loaded.problem);

  return (
    <div class={`page${place.kiosk ? " kiosk" : ""}`} onClick={(e) => followInside(e, go)}>
      <a class="skip" href="#main">
        Skip to the panels
      </a>
      <header class="top">
        <div class="brand">
          <Mark />
          <span>Droplift</span>
        </div>
        <label class="control switcher">
          <span class="caption">Dashboard</span>
          <select value={uid} onChange={(e) => go({ uid: e.currentTarget.value, panel: null, folded: [] })}>
            {entries.data?.map((entry) => (
              <option key={entry.uid} value={entry.uid}>
                {entry.title}
              </option>
            ))}
            {entries.data && !entries.data.some((entry) => entry.uid === uid) && <option value={uid}>{uid}</option>}
          </select>
          <Icon name="chevron" />
        </label>
        <div class="controls">
          {dashboard &&
            choices(dashboard).map((v) => (
              <Choice
                key={v.name}
                uid={uid}
                variable={v}
                values={place.vars[v.name]}
                query={query(dashboard, place.vars, range)}
                {...opener(v.name)}
                onChange={(values) => go({ vars: choose(dashboard, place.vars, v.name, values) })}
              />
            ))}
          {dashboard && (
            <RangePicker
              {...range}
              hasDrop={hasDrop(dashboard)}
              hasCues={hasCues(dashboard)}
              answered={answered}
              {...opener("range")}
              onChange={(next) => {
                go(next);
                announce(`Time range: ${rangeLabel(next.from, next.to)}.`);
              }}
            />
          )}
          <label class="control">
            <span class="caption">Refresh</span>
            <select value={refresh} onChange={(e) => go({ refresh: e.currentTarget.value })}>
              {[...new Set([...refreshChoices, refresh])].map((r) => (
                <option key={r} value={r}>
                  {r.replace(/(\d+)([smh])/, "$1 $2").replace(" m", " min")}
                </option>
              ))}
            </select>
            <Icon name="chevron" />
          </label>
        </div>
        <p class="where">
          <strong>{dashboard?.title}</strong> <span dir="auto">{dashboard && hasDrop(dashboard) && place.vars["drop"]?.join(", ")}</span> <span class="muted">{rangeLabel(range.from, range.to)}, UTC</span>
        </p>
        <div class="state">
          <Status scheduler={scheduler} interval={interval} />
          <button type="button" class="icon" aria-label="Refresh now" title="Refresh now (r)" onClick={update}>
            <Icon name="refresh" />
          </button>
          <Alerts scheduler={scheduler} {...opener("alerts")} addressOf={addressOf} />
          <button type="button" class="icon" aria-label="Copy a link to this view" title="Copy a link to this view" onClick={() => void copy(new URL(formatPlace(full), location.href).href)}>
            <Icon name="share" />
          </button>
          <label class="icon theme" title="Theme">
            <Icon name="theme" />
            <select aria-label="Theme" value={place.theme || rememberedTheme()} onChange={(e) => setTheme(e.currentTarget.value as ThemeChoice)}>
              {themes.map((t) => (
                <option key={t}>{t}</option>
              ))}
            </select>
          </label>
          <button type="button" class="icon" aria-label="Wall mode" aria-pressed={place.kiosk} title="Wall mode (k)" onClick={() => setKiosk(!place.kiosk)}>
            <Icon name="screen" />
          </button>
          <button type="button" class="icon" aria-label="Keyboard shortcuts" title="Keyboard shortcuts (?)" onClick={() => setOpen("help")}>
            <Icon name="help" />
          </button>
        </div>
      </header>

      <main id="main" tabIndex={-1} class={place.panel !== null ? "one" : ""}>
        <h1 class="hidden">{dashboard?.title ?? "Droplift"}</h1>
        {trouble && <PageNote title={trouble.message} text={trouble.fix ?? ""} />}
        {!trouble && waiting === "first" && <PageNote title="Waiting for the first drop" text="No drop has been announced yet. This page opens it as soon as there is one; `droplift simulate` sends one to look at." />}
        {!trouble && waiting === "narrow" && <PageNote title="No drop of this creator" text="The chosen creators have no drop. Choose others, or All." />}
        {unknownDrop && (
          <PageNote title={unknownDrop.message} text={unknownDrop.fix ?? "Choose another drop."}>
            <button type="button" class="primary" onClick={() => setOpen("drop")}>
              Choose a drop
            </button>
          </PageNote>
        )}
        {dashboard && waiting === "" && !unknownDrop && (
          <Grid
            dashboard={dashboard}
            full={place.panel}
            folded={place.folded}
            onFold={(row) => go({ folded: place.folded.includes(row) ? place.folded.filter((r) => r !== row) : [...place.folded, row] })}
            {...{ uid, scheduler, query: question, bodies, annotations, theme, hover, onZoom, onFull, onAnswer, onProblem, linkTo }}
          />
        )}
      </main>

      {open === "help" && (
        <Dialog label="Keyboard shortcuts" onClose={() => setOpen("")}>
          <dl class="keys">
            {shortcuts.map(([key, what]) => (
              <>
                <dt>
                  <kbd>{key}</kbd>
                </dt>
                <dd>{what}</dd>
              </>
            ))}
          </dl>
          {info.data && (
            <p class="muted">
              {info.data.title} {info.data.version}
              {info.data.demo && ", playing the demo"}
            </p>
          )}
        </Dialog>
      )}
      <Announcer />
    </div>
  );
}

function Mark() {
  return (
    <svg viewBox="0 0 32 32" width="24" height="24" aria-hidden="true">
      <rect width="32" height="32" rx="7" fill="var(--brand)" />
      <path d="M7 22l6-7 4 4 8-10" fill="none" stroke="#fff" stroke-width="3" stroke-linecap="round" stroke-linejoin="round" />
    </svg>
  );
}

function PageNote({ title, text, children }: { title: string; text: string; children?: preact.ComponentChildren }) {
  return (
    <div class="page-note" role="status">
      <h2 dir="auto">{title}</h2>
      <p dir="auto">{text}</p>
      {children}
    </div>
  );
}

/** followInside takes links between our dashboards without loading the page again. */
function followInside(e: MouseEvent, go: Go): void {
  const link = e.target instanceof Element ? e.target.closest("a") : null;
  if (!link || link.target || link.hasAttribute("download") || e.button !== 0 || e.ctrlKey || e.metaKey || e.shiftKey) return;
  if (link.origin !== location.origin || !link.pathname.startsWith("/d/")) return;
  e.preventDefault();
  go(parsePlace(link.pathname, link.search));
}

function useBodies(): Bodies | null {
  const [bodies, setBodies] = useState<Bodies | null>(null);
  useEffect(() => {
    void import("../panels").then(setBodies);
  }, []);
  return bodies;
}

function useHidden(scheduler: Scheduler): void {
  useEffect(() => {
    const changed = () => scheduler.setHidden(document.hidden);
    changed();
    document.addEventListener("visibilitychange", changed);
    return () => document.removeEventListener("visibilitychange", changed);
  }, [scheduler]);
}

/** useReload loads the page again when the server has become another version: a wall shows it for days. */
function useReload(version: string | undefined): void {
  const first = useRef(version);
  useEffect(() => {
    if (first.current && version && first.current !== version) location.reload();
    first.current ??= version;
  }, [version]);
}

/** useFullscreenLeft hears of the browser's own way out, which is no key press of the page. */
function useFullscreenLeft(left: () => void): void {
  useEffect(() => {
    const changed = () => document.fullscreenElement || left();
    document.addEventListener("fullscreenchange", changed);
    return () => document.removeEventListener("fullscreenchange", changed);
  });
}

/** useFocusKept keeps the focus on a panel that takes the screen or gives it back: it is drawn anew. */
function useFocusKept(panel: number | null): void {
  const before = useRef(panel);
  useEffect(() => {
    const id = panel ?? before.current;
    if (before.current !== panel) document.querySelector<HTMLElement>(`article[data-panel="${id}"]`)?.focus();
    before.current = panel;
  }, [panel]);
}

/** useAwake keeps a wall's screen on, where the browser can. */
function useAwake(kiosk: boolean): void {
  useEffect(() => {
    if (!kiosk || !("wakeLock" in navigator)) return;
    let lock: WakeLockSentinel | undefined;
    let ended = false;
    const take = () => {
      if (document.hidden) return;
      void navigator.wakeLock.request("screen").then((got) => (ended ? void got.release() : (lock = got)), () => {});
    };
    take();
    // The browser takes the lock back whenever the page is hidden.
    document.addEventListener("visibilitychange", take);
    return () => {
      ended = true;
      document.removeEventListener("visibilitychange", take);
      void lock?.release();
    };
  }, [kiosk]);
}

/** useAnnotations keeps the same array while nothing changed, so that charts are not drawn again for it. */
function useAnnotations(scheduler: Scheduler, uid: string, question: URLSearchParams | null): Annotation[] {
  const { data } = useJob(scheduler, question && `${uid}?${question}`, (signal) => fetchAnnotations(uid, question ?? new URLSearchParams(), signal));
  const text = JSON.stringify(data ?? []);
  return useMemo(() => JSON.parse(text) as Annotation[], [text]);
}

/**
 * useDrop chooses the newest drop of the chosen creators where the address names none. It says what the page waits for:
 * "first" for the first drop of all, "narrow" for a creator with a drop, "asking" for the answer, "" for nothing.
 */
function useDrop(scheduler: Scheduler, uid: string, needed: boolean, wanted: URLSearchParams | null, place: Place, go: Go): { waiting: "" | "asking" | "first" | "narrow"; problem: Problem | null } {
  const missing = needed && !place.vars["drop"]?.length;
  const key = missing && wanted ? `${uid}?${wanted}` : null;
  const { data, key: answered, problem } = useJob(scheduler, key, (signal) => fetchOptions(uid, "drop", wanted ?? new URLSearchParams(), "", 1, signal), { every: drops });
  const newest = key !== null && answered === key ? data?.options[0]?.value : undefined;
  useEffect(() => {
    if (newest !== undefined) go({ vars: { ...place.vars, drop: [newest] } }, true);
  }, [newest]);
  if (!missing) return { waiting: "", problem: null };
  if (answered !== key || newest !== undefined) return { waiting: "asking", problem };
  return { waiting: place.vars["creator"]?.length ? "narrow" : "first", problem };
}
