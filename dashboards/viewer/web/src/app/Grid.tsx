import { useMemo } from "preact/hooks";
import type { Dashboard } from "../model";
import { Icon } from "./Dialog";
import { sections } from "./layout";
import { PanelFrame, type Shared } from "./PanelFrame";

interface Props extends Shared {
  dashboard: Dashboard;
  /** The panel that fills the screen. */
  full: number | null;
  folded: string[];
  onFold(row: string): void;
}

/** Grid lays a dashboard's panels out: 24 columns as in Grafana, fewer on small screens. */
export function Grid({ dashboard, full, folded, onFold, ...shared }: Props) {
  const rows = useMemo(() => sections(dashboard), [dashboard]);
  if (full !== null) {
    const panel = rows.flatMap((s) => s.panels).find((p) => p.id === full);
    if (panel) return <PanelFrame key={`${shared.uid}/${panel.id}/full`} {...shared} panel={panel} full />;
  }
  return (
    <>
      {rows.map((row) => {
        // What a link names is the opposite of what the dashboard says.
        const closed = row.collapsed !== folded.includes(row.id);
        return (
          <section key={row.id} aria-label={row.title || dashboard.title}>
            {row.title && (
              <h2 class="row">
                <button type="button" aria-expanded={!closed} onClick={() => onFold(row.id)}>
                  <Icon name="chevron" />
                  <span dir="auto">{row.title}</span>
                  {closed && <span class="muted"> {row.panels.length} panels</span>}
                </button>
              </h2>
            )}
            {!closed && (
              <div class="grid">
                {row.panels.map((panel) => (
                  <PanelFrame key={`${shared.uid}/${panel.id}`} {...shared} panel={panel} full={false} />
                ))}
              </div>
            )}
          </section>
        );
      })}
    </>
  );
}
