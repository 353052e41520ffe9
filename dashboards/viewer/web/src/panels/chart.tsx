// A chart: ECharts draws, and a layer above it has the pointer: crosshair, tooltip, zoom and marks. All texts of that
// layer are text nodes, so no name becomes HTML.
import { BarChart, CustomChart, LineChart, ScatterChart } from "echarts/charts";
import { AriaComponent, GridComponent, MarkAreaComponent, MarkLineComponent } from "echarts/components";
import { init, use, type ECharts } from "echarts/core";
import type { EChartsOption } from "echarts/types/dist/shared";
import { CanvasRenderer } from "echarts/renderers";
import { useEffect, useLayoutEffect, useMemo, useRef, useState } from "preact/hooks";
import type { Annotation, Range } from "../api";
import type { Data } from "../format/field";
import { colorOf, readTheme, type Theme } from "../format/theme";
import { isoTime } from "../format/units";
import type { Panel } from "../model";
import { Legend, legendSize, type LegendItem } from "./legend";
import type { PanelProps } from "./props";

use([LineChart, BarChart, ScatterChart, CustomChart, GridComponent, MarkLineComponent, MarkAreaComponent, AriaComponent, CanvasRenderer]);

export type Option = EChartsOption;

export interface Rect {
  left: number;
  top: number;
  width: number;
  height: number;
}

export interface TipRow {
  name: string;
  value: string;
  color?: string;
  dashed?: boolean;
  strong?: boolean;
}

export interface Tip {
  head: string;
  rows: TipRow[];
}

/** What a chart is drawn from. */
export interface Context {
  panel: Panel;
  data: Data[];
  theme: Theme;
  range: Range;
  annotations: Annotation[];
  /** Titles of series that the reader switched off. */
  hidden: ReadonlySet<string>;
  width: number;
  height: number;
}

/** A drawn chart. Its x axis runs over time where span says from when to when, in Unix ms. */
export interface Drawing {
  option: Option;
  plot: Rect;
  span?: { from: number; to: number };
  /** What the tooltip says at a place of the plot, in px from its upper left corner. */
  tip?(x: number, y: number): Tip | undefined;
}

export interface Kind {
  legend(context: Context): LegendItem[];
  /** A scale of colours under the chart, in place of the legend. */
  ramp?(context: Context): { colors: string[]; low: string; high: string } | undefined;
  draw(context: Context): Drawing;
}

const noneHidden: ReadonlySet<string> = new Set();
const rampHeight = 20;

/** The theme at an element, read again when the theme changes. */
export function useTheme(name: "dark" | "light") {
  const root = useRef<HTMLDivElement>(null);
  const [theme, setTheme] = useState<Theme>();
  useLayoutEffect(() => setTheme(readTheme(root.current!, name === "dark")), [name]);
  return { root, theme };
}

/** A panel that is a chart of some kind. */
export function Chart({ kind, theme, ...props }: Omit<PanelProps, "theme"> & { kind: Kind; theme: Theme }) {
  const { content, annotations, width, height } = props;
  const { panel, answer, data } = content;
  const [hidden, setHidden] = useState(noneHidden);
  const context = useMemo(
    () => ({ panel, data, theme, range: answer.range, annotations, hidden, width, height }),
    [panel, data, theme, answer, annotations, hidden, width, height],
  );
  const items = useMemo(() => kind.legend(context), [kind, context]);
  const ramp = kind.ramp?.(context);
  const options = panel.options?.legend ?? {};
  const legend = legendSize(options, items, width, height);
  const size = { width: width - legend.right, height: height - legend.bottom - (ramp ? rampHeight : 0) };
  const drawing = useMemo(() => kind.draw({ ...context, ...size }), [kind, context, size.width, size.height]);
  return (
    <div class={legend.right ? "viz-columns" : undefined}>
      <Surface drawing={drawing} context={context} {...size} label={content.summary} hover={props.hover} onZoom={props.onZoom} />
      {ramp && (
        <div class="viz-ramp">
          <span>{ramp.low}</span>
          <i style={{ background: `linear-gradient(90deg, ${ramp.colors.join(",")})` }} />
          <span>{ramp.high}</span>
        </div>
      )}
      {legend.right + legend.bottom > 0 && <Legend options={options} items={items} hidden={hidden} onHide={setHidden} size={legend} height={height} />}
    </div>
  );
}

interface SurfaceProps extends Pick<PanelProps, "hover" | "onZoom"> {
  drawing: Drawing;
  context: Context;
  width: number;
  height: number;
  label: string;
}

function Surface({ drawing, context, width, height, label, hover, onZoom }: SurfaceProps) {
  const canvas = useRef<HTMLDivElement>(null);
  const chart = useRef<ECharts>();
  useEffect(() => {
    const c = init(canvas.current!, undefined, { renderer: "canvas", width, height });
    chart.current = c;
    return () => c.dispose();
  }, []);
  useEffect(() => {
    const c = chart.current!;
    if (c.getWidth() !== width || c.getHeight() !== height) c.resize({ width, height });
    c.setOption(
      {
        animation: false, useUTC: true, textStyle: { fontFamily: "inherit" }, aria: { enabled: true, label: { description: label } },
        ...drawing.option,
        grid: { ...drawing.plot, outerBoundsMode: "none" },
      },
      { replaceMerge: ["series", "xAxis", "yAxis", "grid"] },
    );
  }, [drawing, width, height, label]);
  return (
    <div class="viz-chart" style={{ width: `${width}px`, height: `${height}px` }}>
      <div class="viz-canvas" ref={canvas} />
      <Pointer drawing={drawing} context={context} width={width} height={height} hover={hover} onZoom={onZoom} />
    </div>
  );
}

type PointerProps = Omit<SurfaceProps, "label">;

interface Spot {
  x: number;
  y: number;
}

function Pointer({ drawing, context, width, height, hover, onZoom }: PointerProps) {
  const { plot, span } = drawing;
  const [spot, setSpot] = useState<Spot | null>(null);
  const [elsewhere, setElsewhere] = useState<number | null>(null);
  const [drag, setDrag] = useState<{ from: number; to: number } | null>(null);
  const [mark, setMark] = useState<Annotation | null>(null);

  const momentAt = (x: number) => span!.from + (x / plot.width) * (span!.to - span!.from);
  const placeOf = (time: number) => ((time - span!.from) / (span!.to - span!.from)) * plot.width;
  useEffect(() => (span ? hover.subscribe(setElsewhere) : undefined), [hover, !span]);

  const at = (e: PointerEvent): Spot => {
    const box = (e.currentTarget as HTMLElement).getBoundingClientRect();
    return { x: Math.min(Math.max(e.clientX - box.left - plot.left, 0), plot.width), y: e.clientY - box.top - plot.top };
  };
  const move = (e: PointerEvent) => {
    const p = at(e);
    setSpot(p);
    if (span) hover.set(momentAt(p.x));
    if (drag) setDrag({ ...drag, to: p.x });
  };
  const leave = () => {
    setSpot(null);
    setDrag(null);
    if (span) hover.set(null);
  };
  const down = (e: PointerEvent) => {
    if (!span || e.button !== 0 || e.pointerType === "touch") return;
    const { x } = at(e);
    (e.currentTarget as HTMLElement).setPointerCapture(e.pointerId);
    setDrag({ from: x, to: x });
  };
  const up = () => {
    if (drag && Math.abs(drag.to - drag.from) > 4) {
      const [from, to] = [drag.from, drag.to].sort((a, b) => a - b) as [number, number];
      onZoom(Math.round(momentAt(from)), Math.round(momentAt(to)));
    }
    setDrag(null);
  };

  const tip = spot && !mark ? drawing.tip?.(spot.x, spot.y) : undefined;
  const crossAt = spot ? spot.x : span && elsewhere !== null ? placeOf(elsewhere) : null;
  const cross = drawing.tip && crossAt !== null && crossAt >= 0 && crossAt <= plot.width ? crossAt : null;
  const marks = span ? context.annotations.filter((a) => a.time <= span.to && (a.timeEnd ?? a.time) >= span.from) : [];
  return (
    <div class={span ? "viz-over viz-zoomable" : "viz-over"} onPointerMove={move} onPointerLeave={leave} onPointerDown={down} onPointerUp={up}>
      {cross !== null && span && <div class="viz-cross" style={{ left: `${plot.left + cross}px`, top: `${plot.top}px`, height: `${plot.height}px` }} />}
      {drag && <div class="viz-select" style={{ left: `${plot.left + Math.min(drag.from, drag.to)}px`, width: `${Math.abs(drag.to - drag.from)}px`, top: `${plot.top}px`, height: `${plot.height}px` }} />}
      {marks.map((a, i) => (
        <button
          key={i} type="button" class="viz-mark" aria-label={`${a.title}, ${isoTime(a.time)} UTC`}
          style={{ left: `${plot.left + Math.max(placeOf(a.time), 0) - 6}px`, top: `${plot.top + plot.height}px`, color: colorOf(context.theme, a.color) }}
          onPointerEnter={() => setMark(a)} onPointerLeave={() => setMark(null)} onFocus={() => setMark(a)} onBlur={() => setMark(null)}
        />
      ))}
      {tip && <TipBox tip={tip} x={plot.left + spot!.x} y={plot.top + spot!.y} width={width} height={height} />}
      {mark && (
        <TipBox
          tip={{ head: `${mark.layer} · ${isoTime(mark.time)}${mark.timeEnd ? " to " + isoTime(mark.timeEnd) : ""} UTC`, rows: [{ name: mark.title, value: "", strong: true }, ...(mark.text ? [{ name: mark.text, value: "" }] : [])] }}
          x={plot.left + placeOf(mark.time)} y={plot.top + plot.height / 3} width={width} height={height}
        />
      )}
    </div>
  );
}

/** The tooltip beside a place, on the side that has more room. */
export function TipBox({ tip, x, y, width, height }: { tip: Tip; x: number; y: number; width: number; height: number }) {
  const side = x < width / 2 ? { left: `${x + 12}px` } : { right: `${width - x + 12}px` };
  const tall = 22 + tip.rows.length * 17;
  return (
    <div class="viz-tip" style={{ top: `${Math.max(Math.min(y - 10, height - tall), 0)}px`, ...side }}>
      <div class="viz-tip-head">{tip.head}</div>
      {tip.rows.map((r, i) => (
        <div key={i} class="viz-tip-row">
          {r.color ? <i class={r.dashed ? "viz-key dashed" : "viz-key"} style={{ borderColor: r.color }} /> : <i />}
          <span dir="auto" style={r.strong ? { fontWeight: 600 } : undefined}>{r.name}</span>
          <b>{r.value}</b>
        </div>
      ))}
    </div>
  );
}
