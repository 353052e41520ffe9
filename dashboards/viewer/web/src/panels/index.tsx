// The bodies of panels: what the shell asks of them.
import type { Annotation, PanelAnswer } from "../api";
import type { Panel } from "../model";

/** The moment under the pointer of any panel, in Unix ms; null when there is none. */
export interface Hover {
  set(time: number | null): void;
  subscribe(listener: (time: number | null) => void): () => void;
}

export interface PanelProps {
  panel: Panel;
  answer: PanelAnswer;
  annotations: Annotation[];
  theme: "dark" | "light";
  width: number;
  height: number;
  onZoom(from: number, to: number): void;
  hover: Hover;
}

export interface Rows {
  columns: { name: string; unit?: string }[];
  rows: (string | number | null)[][];
}

export function PanelBody({ panel, answer }: PanelProps) {
  return <p>{summarize(panel, answer)}</p>;
}

export function summarize(panel: Panel, answer: PanelAnswer): string {
  return `${panel.title}: ${toRows(panel, answer).rows.length} rows.`;
}

export async function toPNG(_element: HTMLElement, title: string): Promise<Blob> {
  const canvas = new OffscreenCanvas(600, 300);
  canvas.getContext("2d")?.fillText(title, 10, 20);
  return canvas.convertToBlob();
}

export function toRows(_panel: Panel, answer: PanelAnswer): Rows {
  const frame = answer.frames[0];
  const columns = frame?.columns ?? [];
  const length = columns[0]?.values.length ?? 0;
  return {
    columns: columns.map((c) => ({ name: c.name })),
    rows: Array.from({ length }, (_, i) => columns.map((c) => {
      const value = c.values[i] ?? null;
      return typeof value === "boolean" ? String(value) : value;
    })),
  };
}
