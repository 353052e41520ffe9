// The bodies of panels, drawn from Grafana's JSON and the server's answer.
import type { PanelAnswer } from "../api";
import { dataOf, hasValue, isEmpty, isShown, type Data } from "../format/field";
import type { Panel } from "../model";
import { barchart } from "./barchart";
import { Chart, useTheme, type Kind } from "./chart";
import { BarGauges, Gauges } from "./gauge";
import { heatmap } from "./heatmap";
import { histogram } from "./histogram";
import "./panels.css";
import type { Content, PanelProps } from "./props";
import { summarize } from "./rows";
import { singlesOf } from "./single";
import { Stats } from "./stat";
import { Table } from "./table";
import { timeline } from "./timeline";
import { timeseries } from "./timeseries";
import { Words } from "./words";
import { xychart } from "./xychart";

export { createHover, type Hover } from "./hover";
export { toPNG } from "./png";
export type { Content, PanelProps } from "./props";
export { toRows, type Rows } from "./rows";

const kinds: Record<string, Kind> = { timeseries, trend: timeseries, barchart, heatmap, histogram, xychart, "state-timeline": timeline };
const singles: Record<string, typeof Stats> = { stat: Stats, gauge: Gauges, bargauge: BarGauges };

/** The panel types that PanelBody draws. */
export const drawn = [...Object.keys(kinds), ...Object.keys(singles), "table", "text"];

/** An answer as a panel shows it: read once, for the picture and all that is said of it. */
export function contentOf(panel: Panel, answer: PanelAnswer): Content {
  const data = dataOf(panel, answer);
  return { panel, answer, data, drawable: isDrawable(panel, data), summary: summarize(panel, answer, data) };
}

function isDrawable(panel: Panel, data: Data[]): boolean {
  if (!(panel.type in kinds)) return !isEmpty(data);
  return data.some((d) => d.fields.some((f) => f.type !== "time" && (f.type !== "string" || panel.type === "state-timeline") && f.name !== panel.options?.xField && isShown(f) && hasValue(f)));
}

/** Draws a panel of any type that we generate, in the width and height given. */
export function PanelBody(props: PanelProps) {
  const { root, theme } = useTheme(props.theme);
  return (
    <div ref={root} class="viz" data-theme={props.theme} style={{ width: `${props.width}px`, height: `${props.height}px` }}>
      {theme && <Body {...props} colors={theme} />}
    </div>
  );
}

function Body(props: PanelProps & { colors: NonNullable<ReturnType<typeof useTheme>["theme"]> }) {
  const { content, colors, width, height } = props;
  const { panel, data } = content;
  if (panel.type === "text") return <Words content={panel.options?.content ?? ""} mode={panel.options?.mode} />;
  if (!content.drawable) return <Empty text={panel.fieldConfig?.defaults?.noValue} />;
  const kind = kinds[panel.type];
  if (kind) return <Chart key={panel.type} {...props} kind={kind} theme={colors} />;
  if (panel.type === "table") return <Table panel={panel} data={data} theme={colors} />;
  const Shown = singles[panel.type];
  if (!Shown) return <Empty text={`This viewer draws no panels of the type ${panel.type}. Its data are under “view as table”.`} />;
  const values = singlesOf(panel, data);
  return values.length ? <Shown panel={panel} singles={values} theme={colors} width={width} height={height} /> : <Empty text={panel.fieldConfig?.defaults?.noValue} />;
}

const Empty = ({ text }: { text?: string }) => <div class="viz-empty" dir="auto">{text || "No data in this range."}</div>;
