import { useEffect, useRef, useState } from "preact/hooks";
import type { Option, Problem } from "../api";
import { fetchOptions } from "../client";
import type { Variable } from "../model";
import { Dialog, Icon } from "./Dialog";
import { problemOf } from "./hooks";
import { chosen, labelOf, toggled } from "./variables";

interface Props {
  uid: string;
  variable: Variable;
  values: string[] | undefined;
  /** The range and the other variables, which narrow the choices. */
  query: URLSearchParams;
  open: boolean;
  onOpen(open: boolean): void;
  onChange(values: string[]): void;
}

/** Choice is one variable: a button with its value that opens a searchable list. */
export function Choice(props: Props) {
  const { variable, values, open, onOpen } = props;
  const button = useRef<HTMLButtonElement>(null);
  const label = labelOf(variable);
  const text = chosen(variable, values);
  return (
    <>
      <button ref={button} type="button" class="control" aria-haspopup="dialog" onClick={() => onOpen(true)}>
        <span class="caption">{label}</span>{" "}
        <span class="value" dir="auto">
          {text}
        </span>
        <Icon name="chevron" />
      </button>
      {open && (
        <Dialog label={`Choose: ${label}`} anchor={button.current} onClose={() => onOpen(false)}>
          <Options {...props} />
        </Dialog>
      )}
    </>
  );
}

const shownAtMost = 200;
const typingPause = 150;

function Options({ uid, variable, values, query, onOpen, onChange }: Props) {
  const [search, setSearch] = useState("");
  const [found, setFound] = useState<{ options: Option[]; more: boolean } | null>(null);
  const [problem, setProblem] = useState<Problem | null>(null);
  const [active, setActive] = useState(0);
  const list = useRef<HTMLUListElement>(null);
  const asked = query.toString();

  useEffect(() => {
    const run = new AbortController();
    const timer = setTimeout(() => {
      fetchOptions(uid, variable.name, new URLSearchParams(asked), search, shownAtMost, run.signal).then(
        (answer) => {
          setFound(answer);
          setProblem(null);
        },
        (err: unknown) => run.signal.aborted || setProblem(problemOf(err)),
      );
    }, search ? typingPause : 0);
    return () => {
      clearTimeout(timer);
      run.abort();
    };
  }, [uid, variable.name, asked, search]);

  const options = found?.options ?? [];
  // What is chosen but not among those found stays in reach, to be taken away again.
  const missing = search || !found ? [] : (values ?? []).filter((v) => !options.some((o) => o.value === v)).map((v) => ({ text: v, value: v }));
  const all = variable.includeAll && !search ? [{ text: "All", value: "" }] : [];
  const items = [...all, ...missing, ...options];
  const selected = (value: string) => (value === "" ? !values?.length : (values?.includes(value) ?? false));

  const take = (value: string) => {
    if (value === "") onChange([]);
    else if (variable.multi) return onChange(toggled(values, value));
    else onChange([value]);
    onOpen(false);
  };
  const move = (to: number) => {
    const next = Math.max(0, Math.min(items.length - 1, to));
    setActive(next);
    list.current?.children[next]?.scrollIntoView({ block: "nearest" });
  };
  const keys = (e: KeyboardEvent) => {
    const step = { ArrowDown: active + 1, ArrowUp: active - 1, PageDown: active + 10, PageUp: active - 10 }[e.key];
    if (step !== undefined) move(step);
    else if (e.key === "Enter") {
      const item = items[active];
      if (item) take(item.value);
    } else return;
    e.preventDefault();
  };
  const id = (i: number) => `option-${variable.name}-${i}`;

  return (
    <div class="options">
      <input
        type="search"
        autofocus
        dir="auto"
        role="combobox"
        aria-label={`Search ${labelOf(variable)}`}
        aria-expanded="true"
        aria-controls={`options-${variable.name}`}
        aria-activedescendant={items[active] ? id(active) : undefined}
        aria-autocomplete="list"
        placeholder="Search"
        autocomplete="off"
        spellcheck={false}
        value={search}
        onInput={(e) => {
          setSearch(e.currentTarget.value);
          setActive(0);
        }}
        onKeyDown={keys}
      />
      {problem && <p class="problem">{problem.message}</p>}
      {!found && !problem && <p class="muted">Loading…</p>}
      {found && items.length === 0 && <p class="muted">{search ? "Nothing matches." : "There is nothing to choose yet."}</p>}
      <ul ref={list} id={`options-${variable.name}`} role="listbox" aria-label={labelOf(variable)} aria-multiselectable={variable.multi ? "true" : undefined}>
        {items.map((o, i) => (
          <li
            key={o.value}
            id={id(i)}
            role="option"
            aria-selected={selected(o.value)}
            class={i === active ? "active" : ""}
            onPointerMove={() => setActive(i)}
            onClick={() => take(o.value)}
          >
            <span class={variable.multi ? "tick box" : "tick"} aria-hidden="true" />
            <span dir="auto">{o.text}</span>
          </li>
        ))}
      </ul>
      {found?.more && <p class="muted">There are more: search for part of the name.</p>}
    </div>
  );
}
