import type { Annotation, PanelAnswer } from "../api";
import type { Panel } from "../model";
import type { Hover } from "./hover";

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
