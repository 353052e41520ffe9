import { useEffect, useRef } from "preact/hooks";
import type { Alert } from "../api";
import { fetchAlerts } from "../client";
import { announce } from "./announce";
import { Dialog, Icon } from "./Dialog";
import { useJob, useNow } from "./hooks";
import { ago, utc } from "./range";
import type { Scheduler } from "./refresh";

interface Props {
  scheduler: Scheduler;
  open: boolean;
  onOpen(open: boolean): void;
  /** The address of a dashboard that keeps the drop and the range. */
  addressOf(uid: string): string;
}

const order = { firing: 0, pending: 1, inactive: 2 };

/** Alerts is the bell with what fires, and the list behind it. */
export function Alerts({ scheduler, open, onOpen, addressOf }: Props) {
  const button = useRef<HTMLButtonElement>(null);
  const { data: alerts, problem } = useJob(scheduler, "alerts", fetchAlerts, { every: 15_000 });
  const active = (alerts ?? []).filter((a) => a.state !== "inactive").sort((a, b) => order[a.state] - order[b.state] || (a.since ?? 0) - (b.since ?? 0));
  const firing = active.filter((a) => a.state === "firing");

  // Only what is new since the last look is said, so that a wall of alerts is not read out every 15 s.
  const known = useRef<Set<string> | null>(null);
  const now = new Set(firing.map((a) => a.name + JSON.stringify(a.labels)));
  const names = [...now].join("\n");
  useEffect(() => {
    if (!alerts) return;
    const fresh = firing.filter((a) => known.current && !known.current.has(a.name + JSON.stringify(a.labels)));
    if (fresh.length > 0) announce(`Alert: ${fresh.map((a) => a.summary || a.name).join("; ")}`);
    known.current = now;
  }, [names, alerts !== null]);

  const text = problem ? "Alerts: not known" : firing.length > 0 ? `Alerts: ${firing.length} firing` : active.length > 0 ? `Alerts: ${active.length} pending` : "Alerts: none";
  return (
    <>
      <button ref={button} type="button" class={`icon bell${firing.length > 0 ? " firing" : active.length > 0 ? " pending" : ""}`} aria-haspopup="dialog" aria-label={text} title={text} onClick={() => onOpen(true)}>
        <Icon name="bell" />
        {active.length > 0 && <span class="badge">{firing.length || active.length}</span>}
        {problem && <span class="badge">?</span>}
      </button>
      {open && (
        <Dialog label="Alerts" anchor={button.current} wide onClose={() => onOpen(false)}>
          {problem && (
            <p class="problem">
              {problem.message} {problem.fix}
            </p>
          )}
          {alerts && active.length === 0 && <p class="muted">Nothing fires and nothing is pending. {alerts.length} alerts are watched.</p>}
          <ul class="alerts">
            {active.map((a) => (
              <AlertItem key={a.name + JSON.stringify(a.labels)} alert={a} address={a.dashboard ? addressOf(a.dashboard) : ""} onOpen={() => onOpen(false)} />
            ))}
          </ul>
        </Dialog>
      )}
    </>
  );
}

function AlertItem({ alert, address, onOpen }: { alert: Alert; address: string; onOpen(): void }) {
  const now = useNow();
  const labels = Object.entries(alert.labels).filter(([name]) => name !== "alertname" && name !== "severity" && name !== "owner");
  const link = /^(https?:\/\/|\/)/.test(alert.runbook);
  return (
    <li class={alert.state}>
      <h3>
        <span class="tag">{alert.state}</span> <span dir="auto">{alert.summary || alert.name}</span>
      </h3>
      <dl>
        {alert.since !== null && (
          <>
            <dt>Since</dt>
            <dd>
              {utc(alert.since)} UTC, {ago(now - alert.since)}
            </dd>
          </>
        )}
        {labels.length > 0 && (
          <>
            <dt>Where</dt>
            <dd dir="auto">{labels.map(([name, value]) => `${name} ${value}`).join(", ")}</dd>
          </>
        )}
        <dt>Owner</dt>
        <dd dir="auto">
          {alert.owner}, {alert.severity}
        </dd>
        <dt>Next</dt>
        <dd dir="auto">{alert.nextStep}</dd>
        {alert.runbook && (
          <>
            <dt>Runbook</dt>
            <dd dir="auto">
              {link ? (
                <a href={alert.runbook} rel="noreferrer">
                  {alert.runbook}
                </a>
              ) : (
                alert.runbook
              )}
            </dd>
          </>
        )}
      </dl>
      {address && (
        <a href={address} onClick={onOpen}>
          Open its dashboard
        </a>
      )}
    </li>
  );
}
