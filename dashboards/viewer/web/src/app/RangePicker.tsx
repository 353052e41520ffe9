import { useRef, useState } from "preact/hooks";
import type { Range } from "../api";
import { type Cell, useCell } from "./cell";
import { Dialog, Icon } from "./Dialog";
import { clockPresets, parseUTC, type Preset, presetsOf, rangeLabel, spanLabel, utc, wider } from "./range";

interface Props {
  from: string;
  to: string;
  hasDrop: boolean;
  hasCues: boolean;
  /** What the server made of it, null until it has answered. */
  answered: Cell<Range | null>;
  open: boolean;
  onOpen(open: boolean): void;
  onChange(range: { from: string; to: string }): void;
}

export function RangePicker({ from, to, hasDrop, hasCues, answered, open, onOpen, onChange }: Props) {
  const button = useRef<HTMLButtonElement>(null);
  const shown = useCell(answered);
  const text = rangeLabel(from, to);
  const take = (range: { from: string; to: string }) => {
    onChange({ from: range.from, to: range.to });
    onOpen(false);
  };
  return (
    <>
      <button ref={button} type="button" class="control" aria-haspopup="dialog" onClick={() => onOpen(true)} title={shown ? spanLabel(shown.from, shown.to) : ""}>
        <span class="caption">Time, UTC</span>{" "}
        <span class="value">{text}</span>
        <Icon name="chevron" />
      </button>
      {open && (
        <Dialog label="Time range" anchor={button.current} onClose={() => onOpen(false)}>
          {hasDrop && <Presets title="Of the drop" presets={presetsOf(hasCues)} from={from} to={to} onTake={take} />}
          <Presets title="Of the clock" presets={clockPresets} from={from} to={to} onTake={take} />
          <Custom shown={shown} onTake={take} />
          {shown && (
            <button type="button" class="plain" onClick={() => take(wider(shown.from, shown.to))}>
              Zoom out to twice the time
            </button>
          )}
        </Dialog>
      )}
    </>
  );
}

function Presets({ title, presets, from, to, onTake }: { title: string; presets: Preset[]; from: string; to: string; onTake(range: { from: string; to: string }): void }) {
  return (
    <>
      <h3>{title}</h3>
      <div class="presets">
        {presets.map((p) => (
          <button key={p.label} type="button" class="chip" aria-pressed={p.from === from && p.to === to} onClick={() => onTake(p)}>
            {p.label}
          </button>
        ))}
      </div>
    </>
  );
}

const example = "2025-10-11 18:00";

function Custom({ shown, onTake }: { shown: Range | null; onTake(range: { from: string; to: string }): void }) {
  const [from, setFrom] = useState(shown ? utc(shown.from) : "");
  const [to, setTo] = useState(shown ? utc(shown.to) : "");
  const [a, b] = [parseUTC(from), parseUTC(to)];
  const wrong = a === null || b === null ? `Both times are needed, such as ${example}.` : a >= b ? "The end must lie after the begin." : "";
  return (
    <form
      class="custom"
      onSubmit={(e) => {
        e.preventDefault();
        if (!wrong) onTake({ from: String(a), to: String(b) });
      }}
    >
      <h3>From and to, UTC</h3>
      <label>
        From
        <input placeholder={example} value={from} onInput={(e) => setFrom(e.currentTarget.value)} />
      </label>
      <label>
        To
        <input placeholder={example} value={to} onInput={(e) => setTo(e.currentTarget.value)} />
      </label>
      <button type="submit" class="primary" aria-disabled={wrong !== ""}>
        Show
      </button>
      {wrong && (from || to) && <p class="problem">{wrong}</p>}
    </form>
  );
}
