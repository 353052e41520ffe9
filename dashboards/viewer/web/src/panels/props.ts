import type { Annotation, PanelAnswer } from "../api";
import type { Data } from "../format/field";
import type { Panel } from "../model";
import type { Hover } from "./hover";

/** What a panel shows of an answer. */
export interface Content {
  panel: Panel;
  answer: PanelAnswer;
  data: Data[];
  /** Whether there is something to draw: a chart of rows without any value would be an empty frame. */
  drawable: boolean;
  /** The same in a sentence or two. */
  summary: string;
}

export interface PanelProps {
  content: Content;
  annotations: Annotation[];
  theme: "dark" | "light";
  width: number;
  height: number;
  onZoom(from: number, to: number): void;
  hover: Hover;
}
