import type { ComponentChildren } from "preact";
import { useId, useMemo, useRef, useState } from "preact/hooks";
import type { Annotation, PanelAnswer, Problem, Range } from "../api";
import { fetchPanel, panelPath } from "../client";
import type { Panel } from "../model";
import type { Content, Hover } from "../panels";
import { announce } from "./announce";
import { Dialog, Icon } from "./Dialog";
import { Guard } from "./Guard";
import { problemOf, useJob, useShown, useSize } from "./hooks";
import { sinceLabel } from "./range";
import type { Scheduler } from "./refresh";

/** The bodies come in a file of their own, so that the page stands before the chart library is there. */
export type Bodies = typeof import("../panels");

/** What all panels of a page share. */
export interface Shared {
  uid: string;
  scheduler: Scheduler;
  /** The range and variables; null while it is not known what to ask. */
  query: URLSearchParams | null;
  bodies: Bodies | null;
  annotations: Annotation[];
  theme: "dark" | "light";
  hover: Hover;
  onZoom(from: number, to: number): void;
  onFull(panel: number | null): void;
  onAnswer(range: Range): void;
  onProblem(problem: Problem): void;
  linkTo(panel: number): string;
}

interface Props extends Shared {
  panel: Panel;
  full: boolean;
}

/** Points come in few sizes, so that viewers of different widths share the server's answers. */
export const points = (width: number): number => (width < 400 ? 300 : width < 900 ? 600 : 1200);

/** The answer of a panel that asks nothing, such as text. */
const none: PanelAnswer = { range: { from: 0, to: 0, step: 1 }, frames: [] };

const hasRows = (answer: PanelAnswer) => answer.frames.some((f) => (f.columns[0]?.values.length ?? 0) > 0);

/** PanelFrame asks for one panel's data while it is in sight and puts it into a frame with its state and menu. */
export function PanelFrame(props: Props) {
  const { panel, full, uid, scheduler, query, bodies, theme } = props;
  const titleID = useId();
  const { ref: frame, shown } = useShown();
  const body = useSize();
  const [asTable, setAsTable] = useState(false);
  const [dialog, setDialog] = useState<"" | "menu" | "about" | "query">("");
  const menuButton = useRef<HTMLButtonElement>(null);
  const aboutButton = useRef<HTMLButtonElement>(null);

  const hasTargets = (panel.targets?.length ?? 0) > 0;
  const asks = query !== null && hasTargets && body.width > 0;
  const asked = new URLSearchParams(query ?? "");
  asked.set("points", String(Math.min(points(body.width), panel.maxDataPoints ?? Infinity)));
  const key = asks ? asked.toString() : null;
  const loaded = useJob(
    scheduler,
    key,
    async (signal) => {
      const outcome = fetchPanel(uid, panel.id, asked, signal);
      outcome.then(
        // The part of the range that this process has lived through is no news of the range.
        (a) => a.since === undefined && props.onAnswer(a.range),
        (err: unknown) => signal.aborted || props.onProblem(problemOf(err)),
      );
      return outcome;
    },
    { visible: shown, watched: true },
  );
  const answer = hasTargets ? loaded.data : none;
  const dimmed = loaded.data !== null && (loaded.problem !== null || loaded.key !== key);
  const content = useMemo(() => bodies && answer && bodies.contentOf(panel, answer), [bodies, panel, answer]);
  const empty = hasTargets && answer !== null && (content ? !content.drawable : !hasRows(answer));
  const truncated = answer?.frames.some((f) => f.truncated) ?? false;

  const Heading = full ? "h2" : "h3";
  const copyLink = async () => {
    await copy(new URL(props.linkTo(panel.id), location.href).href);
    setDialog("");
  };
  const savePNG = async () => {
    setDialog("");
    if (!bodies || !body.ref.current) return;
    download(await bodies.toPNG(body.ref.current, panel.title), `${panel.title}.png`);
  };

  return (
    <article
      ref={frame}
      class={`panel type-${panel.type}${full ? " full" : ""}`}
      tabIndex={0}
      aria-labelledby={titleID}
      aria-busy={loaded.data === null && loaded.problem === null && asks}
      data-panel={panel.id}
      data-wide={panel.gridPos.w > 12 ? "" : undefined}
      style={{ "--x": panel.gridPos.x + 1, "--y": panel.gridPos.y + 1, "--w": panel.gridPos.w, "--h": panel.gridPos.h }}
    >
      <header>
        <Heading id={titleID} class="title" dir="auto">
          {panel.title}
        </Heading>
        {panel.description && (
          <button ref={aboutButton} type="button" class="icon small" aria-label={`About ${panel.title}`} title={panel.description} onClick={() => setDialog("about")}>
            <Icon name="info" />
          </button>
        )}
        {truncated && (
          <span class="tag warn" title="The answer has more rows than are shown.">
            cut short
          </span>
        )}
        {answer?.since !== undefined && (
          <span class="since" title="This process has kept its metrics since then. A Prometheus (--prometheus-url) has older ones.">
            {sinceLabel(answer.since, answer.range.to)}
          </span>
        )}
        <button ref={menuButton} type="button" class="icon small end" aria-haspopup="dialog" aria-label={`Menu of ${panel.title}`} onClick={() => setDialog("menu")}>
          <Icon name="dots" />
        </button>
      </header>
      <div class="panel-body">
        <div ref={body.ref} class={`picture${dimmed ? " dimmed" : ""}`}>
          {content && !empty && bodies && body.width > 0 && (
            <Guard drawn={answer} fallback={(message) => <ProblemNote problem={{ class: "internal", message }} over={false} />}>
              {asTable ? (
                <DataTable bodies={bodies} content={content} />
              ) : (
                <bodies.PanelBody content={content} annotations={props.annotations} theme={theme} width={body.width} height={body.height} onZoom={props.onZoom} hover={props.hover} />
              )}
            </Guard>
          )}
          {answer && empty && !loaded.problem && <Empty panel={panel} answer={answer} />}
          {!answer && !loaded.problem && <div class="skeleton" />}
        </div>
        {loaded.problem && <ProblemNote problem={loaded.problem} over={loaded.data !== null} />}
      </div>
      {content && !empty && <p class="hidden">{content.summary}</p>}
      {dialog === "about" && (
        <Dialog label={panel.title} anchor={aboutButton.current} onClose={() => setDialog("")}>
          <p dir="auto">{panel.description}</p>
        </Dialog>
      )}
      {dialog === "query" && (
        <Dialog label={`What ${panel.title} asks`} wide onClose={() => setDialog("")}>
          {panel.targets?.map((t) => (
            <pre key={t.refId} tabIndex={0}>
              {t.rawSql ?? t.expr}
            </pre>
          ))}
        </Dialog>
      )}
      {dialog === "menu" && (
        <Dialog label={panel.title} anchor={menuButton.current} onClose={() => setDialog("")}>
          <Menu>
            <button type="button" onClick={() => { setAsTable(!asTable); setDialog(""); }}>
              {asTable ? "View as before" : "View as table"}
            </button>
            <button type="button" onClick={() => { setDialog(""); props.onFull(full ? null : panel.id); }}>
              {full ? "Leave full screen" : "Full screen"}
            </button>
            {key !== null && panel.targets?.map((t, _, all) => (
              <a key={t.refId} href={csvPath(uid, panel.id, asked, t.refId)} download="" onClick={() => setDialog("")}>
                Save CSV{all.length > 1 ? ` of query ${t.refId}` : ""}
              </a>
            ))}
            <button type="button" onClick={() => void savePNG()}>
              Save PNG
            </button>
            <button type="button" onClick={() => void copyLink()}>
              Copy link
            </button>
            {hasTargets && (
              <button type="button" onClick={() => setDialog("query")}>
                Show the query
              </button>
            )}
          </Menu>
        </Dialog>
      )}
    </article>
  );
}

function csvPath(uid: string, panel: number, asked: URLSearchParams, ref: string): string {
  const q = new URLSearchParams(asked);
  q.set("format", "csv");
  q.set("ref", ref);
  return panelPath(uid, panel, q);
}

/** Menu is a list of actions that the arrow keys walk. */
function Menu({ children }: { children: ComponentChildren }) {
  const walk = (e: KeyboardEvent) => {
    const step = { ArrowDown: 1, ArrowUp: -1 }[e.key];
    if (step === undefined || !(e.currentTarget instanceof HTMLElement)) return;
    const items = [...e.currentTarget.querySelectorAll<HTMLElement>("button, a")];
    const at = items.indexOf(document.activeElement as HTMLElement);
    items.at((at + step) % items.length)?.focus();
    e.preventDefault();
  };
  return (
    <div class="menu" onKeyDown={walk}>
      {children}
    </div>
  );
}

function DataTable({ bodies, content: { panel, data } }: { bodies: Bodies; content: Content }) {
  const { columns, rows } = bodies.toRows(panel, data);
  return (
    <div class="table" tabIndex={0} role="region" aria-label={`${panel.title} as table`}>
      <table>
        <thead>
          <tr>
            {columns.map((c, i) => (
              <th key={i} scope="col" dir="auto">
                {c.name}
                {c.unit && <span class="muted"> {c.unit}</span>}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {rows.map((row, i) => (
            <tr key={i}>
              {row.map((cell, j) => (
                <td key={j} dir="auto">
                  {cell ?? "–"}
                </td>
              ))}
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

/** Empty says why there is nothing: in the panel's own words where it has some. */
function Empty({ panel, answer }: { panel: Panel; answer: PanelAnswer }) {
  const { from, to } = answer.range;
  const why = panel.fieldConfig?.defaults?.noValue ?? (from >= to ? "The range is empty." : "Nothing in this range. A wider range or other choices above may have some.");
  return (
    <div class="note">
      <p dir="auto">{why}</p>
    </div>
  );
}

const titles: Record<Problem["class"], string> = {
  bad_request: "Not understood",
  unauthorized: "Not allowed",
  unknown: "Not known",
  unknown_drop: "Unknown drop",
  away: "The database does not answer",
  timeout: "Took too long",
  too_much: "Too much at once",
  internal: "Something broke",
};

/** ProblemNote stands in a panel without data, or over the last picture. */
function ProblemNote({ problem, over }: { problem: Problem; over: boolean }) {
  return (
    <div class={`note problem${over ? " over" : ""}`}>
      <p>
        <strong>{titles[problem.class] ?? titles.internal}.</strong> <span dir="auto">{problem.message}</span>
      </p>
      {problem.fix && <p dir="auto">{problem.fix}</p>}
    </div>
  );
}

/** copy puts text into the clipboard, which only a secure page may do: elsewhere the user copies it by hand. */
export async function copy(text: string): Promise<void> {
  try {
    await navigator.clipboard.writeText(text);
    announce("Link copied.");
  } catch {
    prompt("Copy this link:", text);
  }
}

function download(data: Blob, name: string): void {
  const address = URL.createObjectURL(data);
  const link = document.createElement("a");
  link.href = address;
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(address), 60_000);
}
