import { render } from "preact";
import { act } from "preact/test-utils";
import { afterEach, describe, expect, test, vi } from "vitest";
import type { Column, PanelAnswer } from "../api";
import type { Panel } from "../model";
import { fixtures, hostile, start } from "../../test/gallery/fixtures";
import { dataOf } from "../format/field";
import type { Theme } from "../format/theme";
import { alongScale, colorOf, inkOn } from "../format/theme";
import { contentOf, createHover, toRows } from "./index";
import { TipBox, type Context } from "./chart";
import { along, Gauges } from "./gauge";
import { cellsOf, heatmap } from "./heatmap";
import { histogramOf } from "./histogram";
import { Legend, legendSize, toggled } from "./legend";
import { singlesOf } from "./single";
import { Stats } from "./stat";
import { linkTarget, sortedRows, Table } from "./table";
import { niceStep, niceTicks, timeTicks } from "./ticks";
import { timelineOf } from "./timeline";
import { nearest, timeseries, tipRows } from "./timeseries";
import { Words } from "./words";
import { xySeriesOf } from "./xychart";

const theme: Theme = {
  text: "#dddddd", muted: "#999999", grid: "#333333", background: "#111111", dark: true, palette: ["#100000", "#200000", "#300000", "#400000", "#500000", "#600000", "#700000", "#800000"],
  named: { green: "#00aa00", red: "#aa0000", orange: "#aa6600", yellow: "#aaaa00", blue: "#0000aa", purple: "#aa00aa", gray: "#888888" },
};
const range = { from: start, to: start + 6 * 3_600_000, step: 60 };
const titled = (title: string) => fixtures.find((f) => f.panel.title.startsWith(title))!;
const context = ({ panel, answer }: (typeof fixtures)[number], more: Partial<Context> = {}): Context => ({ panel, data: dataOf(panel, answer), theme, range: answer.range, annotations: [], hidden: new Set(), width: 600, height: 300, ...more });
const panelOf = (type: string, more: Partial<Panel> = {}): Panel => ({ id: 1, type, title: "P", gridPos: { x: 0, y: 0, w: 1, h: 1 }, ...more });
const answerOf = (...columns: Column[]) => ({ range, frames: [{ ref: "A", columns }] });

const summarize = (panel: Panel, answer: PanelAnswer) => contentOf(panel, answer).summary;

const root = document.createElement("div");
document.body.append(root);
afterEach(() => render(null, root));
const show = (view: Parameters<typeof render>[0]) => {
  act(() => render(view, root));
  return root;
};

describe("untrusted names", () => {
  const nothingRuns = () => {
    expect(root.querySelector("img, script")).toBeNull();
    expect(root.textContent).toContain(hostile);
  };
  test("are text in tooltips", () => {
    show(<TipBox tip={{ head: hostile, rows: [{ name: hostile, value: "<b>1</b>", color: "#fff" }] }} x={1} y={1} width={100} height={100} />);
    nothingRuns();
    expect(root.querySelector("b")!.textContent).toBe("<b>1</b>");
  });
  test("are text in legends", () => {
    show(<Legend options={{}} items={[{ title: hostile, color: "#fff", calcs: [] }]} hidden={new Set()} onHide={() => {}} size={{ right: 0, bottom: 20, shown: 1 }} height={100} />);
    nothingRuns();
  });
  test("are text in tables, stats, gauges and Markdown", () => {
    const table = titled("POPs compared");
    show(<Table panel={table.panel} data={dataOf(table.panel, table.answer)} theme={theme} />);
    nothingRuns();
    const column: Column = { name: hostile, type: "number", values: [1] };
    const singles = singlesOf(panelOf("stat"), dataOf(panelOf("stat"), answerOf(column, { ...column, name: "b" })));
    show(<Stats panel={panelOf("stat", { options: { textMode: "value_and_name" } })} singles={singles} theme={theme} width={300} height={200} />);
    nothingRuns();
    show(<Gauges panel={panelOf("gauge")} singles={singles} theme={theme} width={300} height={200} />);
    nothingRuns();
    show(<Words content={`${hostile}\n\n[x](javascript:alert(1)) **a**`} />);
    nothingRuns();
    expect(root.querySelector("a")).toBeNull();
  });
  test("make no link that runs", () => {
    const { panel, answer } = titled("POPs compared");
    const [frame] = dataOf(panel, answer);
    const to = (url: string, row = 0) => linkTarget({ title: "t", url }, frame!, frame!.fields[0]!, row, "?from=start-30m&to=data&var-drop=d1&kiosk=1");
    expect(to("javascript:alert(1)")).toBeUndefined();
    expect(to("data:text/html,x")).toBeUndefined();
    expect(to("/d/x?var-pop=${__value.raw}&${__url_time_range}&var-drop=${drop}")).toBe("/d/x?var-pop=ams&from=start-30m&to=data&var-drop=d1");
    expect(to("/d/x?${__all_variables}")).toBe("/d/x?var-drop=d1");
    expect(to("/d/x?p=${__data.fields.pop}", 9)).toBe(`/d/x?p=${encodeURIComponent(hostile)}`);
  });
});

describe("every type", () => {
  test.each(fixtures.map((f) => [f.panel.title, f] as const))("%s is summarized and has rows", (_, { panel, answer }) => {
    expect(summarize(panel, answer)).toContain(panel.title);
    const { columns, rows } = toRows(panel, dataOf(panel, answer));
    for (const row of rows) expect(row).toHaveLength(columns.length);
    if (panel.type !== "text" && panel.title !== "Nothing here") expect(rows.length).toBeGreaterThan(0);
  });
  test("draws nothing but says why where there are no rows", () => expect(summarize(titled("Nothing here").panel, titled("Nothing here").answer)).toBe("Nothing here: no data."));
});

describe("summaries", () => {
  test("of a stat", () => expect(summarize(titled("At a glance").panel, titled("At a glance").answer)).toBe("At a glance: landed 48.2 K; converted 3.12 K; landed to completed, in order 6.5%; left out of the funnel 3.1%; and 2 more."));
  test("of bars", () => expect(summarize(titled("Funnel").panel, titled("Funnel").answer)).toContain("landing 48.2 K; impression 40.1 K"));
  test("of states", () => expect(summarize(titled("Cap state").panel, titled("Cap state").answer)).toContain("ams is watch; nrt is ok"));
  test("of series tell time, last, least and most", () => {
    const panel = panelOf("timeseries", { fieldConfig: { defaults: { unit: "ms" } } });
    const answer = answerOf({ name: "time", type: "time", values: [start, start + 1] }, { name: "p95", type: "number", values: [5, 3] });
    expect(summarize(panel, answer)).toBe("P, 1 series from 2025-10-04 18:00:00 to 2025-10-05 00:00:00 UTC: p95 last 3 ms, between 3 ms and 5 ms.");
  });
});

test("rows of several series are joined by time", () => {
  const panel = panelOf("timeseries", { fieldConfig: { defaults: { unit: "s" } } });
  const frame = (ref: string, times: number[]) => ({ ref, columns: [{ name: "time", type: "time" as const, values: times }, { name: ref, type: "number" as const, values: times.map((t) => t / 1e6) }] });
  expect(toRows(panel, dataOf(panel, { range, frames: [frame("A", [0, 1e6]), frame("B", [1e6, 2e6])] }))).toEqual({
    columns: [{ name: "time" }, { name: "A", unit: "s" }, { name: "B", unit: "s" }],
    rows: [["1970-01-01 00:00:00", "0 s", null], ["1970-01-01 00:16:40", "1 s", "1 s"], ["1970-01-01 00:33:20", null, "2 s"]],
  });
});

describe("time series", () => {
  const option = (f: (typeof fixtures)[number], more: Partial<Context> = {}) => {
    const d = timeseries.draw(context(f, more));
    return { ...d, series: d.option.series as { id: string; type: string; data: unknown[]; yAxisIndex?: number; lineStyle?: { type: string }; markLine?: { data: unknown[] } }[], yAxis: d.option.yAxis as { show: boolean; position: string; name?: string; min: number; max: number }[] };
  };
  test("have one axis per unit and side", () => {
    const { yAxis } = option(titled("Interval"));
    expect(yAxis.map((a) => [a.position, a.name, a.show])).toEqual([["left", "lost to latency", true], ["right", "of the revenue", true]]);
    expect(option(titled("Conversion velocity")).yAxis.map((a) => a.show)).toEqual([true, false]);
  });
  test("are dashed from the ninth on", () => {
    const lines = option(titled("Landing")).series.filter((s) => s.type === "line" && s.lineStyle);
    expect(lines.map((l) => l.lineStyle!.type)).toEqual([...Array(8).fill("solid"), "dashed", "dashed"]);
  });
  test("stack upon each other", () => {
    const { yAxis } = option(titled("Stacked"));
    const [a, b, c] = titled("Stacked").answer.frames[0]!.columns.slice(1).map((f) => f.values as number[]);
    expect(yAxis[0]!.max).toBeGreaterThanOrEqual(Math.max(...a!.map((v, i) => v + b![i]! + c![i]!)));
  });
  test("leave out what the reader switched off", () => expect(option(titled("Stacked"), { hidden: new Set(["hit", "miss"]) }).series.filter((s) => s.type === "line" && s.lineStyle)).toHaveLength(1));
  test("mark thresholds and what happened", () => {
    const annotation = { layer: "Drop", color: "blue", time: start + 1000, timeEnd: null, title: "t", text: "", tags: [] };
    const { series } = option(titled("Conversion velocity"), { annotations: [annotation, { ...annotation, time: start - 1000 }] });
    expect(series.find((s) => s.id === "annotations")!.markLine!.data).toHaveLength(1);
    expect(series.find((s) => s.id === "marks-0")!.markLine!.data).toHaveLength(1);
  });
  test("say what is under the pointer", () => {
    const f = titled("Conversion velocity");
    const d = option(f);
    const tip = d.tip!(d.plot.width / 2, 10)!;
    expect(tip.head).toBe("2025-10-04 21:00:00 UTC");
    expect(tip.rows.map((r) => r.name)).toEqual(["1 min", "5 min"]);
    expect(tip.rows.filter((r) => r.strong)).toHaveLength(1);
  });
  test("join gaps as far as the panel says", () => {
    const data = (spanNulls: boolean | number) => {
      const panel = panelOf("timeseries", { fieldConfig: { defaults: { custom: { spanNulls } } } });
      const f = { panel, answer: answerOf({ name: "time", type: "time", values: [0, 10, 20, 30, 40, 50] }, { name: "v", type: "number", values: [1, null, 2, null, null, 3] }) };
      return option(f).series.at(-1)!.data.map((d) => (Array.isArray(d) ? d : (d as { value: unknown[] }).value)[0]);
    };
    expect(data(false)).toEqual([0, 10, 20, 30, 40, 50]);
    expect(data(true)).toEqual([0, 20, 50]);
    expect(data(20)).toEqual([0, 20, 30, 40, 50]);
  });
  test("find the nearest point", () => expect([-5, 4, 6, 14, 99].map((x) => nearest([0, 10, 20], x))).toEqual([0, 0, 1, 1, 2]));
});

describe("ticks", () => {
  test("grow in the way the unit counts", () => {
    expect([niceStep(90, 5, "short"), niceStep(1e6, 4, "bytes"), niceStep(7200, 5, "s"), niceStep(240, 4, "m"), niceStep(0.4, 4, "s")]).toEqual([20, 262144, 1800, 60, 0.1]);
  });
  test("keep fixed ends and widen flat ranges", () => {
    expect(niceTicks(3, 97, 5, "short")).toMatchObject({ min: 0, max: 100, step: 20 });
    expect(niceTicks(3, 97, 5, "short", { min: 0, max: 95 }).values).toEqual([0, 20, 40, 60, 80]);
    expect(niceTicks(0, 0, 4, undefined).max).toBeGreaterThan(0);
    expect(niceTicks(5, 5, 4, undefined, { min: 0 })).toMatchObject({ min: 0, max: 6 });
  });
  test("of time are round in UTC and name days", () => {
    const t = timeTicks(Date.UTC(2025, 9, 4, 21, 10), Date.UTC(2025, 9, 5, 3), 6);
    expect(t.values.map(t.label)).toEqual(["22:00", "23:00", "10-05", "01:00", "02:00", "03:00"]);
  });
});

describe("single values", () => {
  test("are those of the numeric fields, or of the fields that match", () => {
    const { panel, answer } = titled("At a glance");
    expect(singlesOf({ ...panel, options: {} }, dataOf(panel, answer))).toHaveLength(5);
    expect(singlesOf(panel, dataOf(panel, answer)).map((s) => s.shown.text)).toEqual(["48.2 K", "3.12 K", "6.5%", "3.1%", "0", "provisional"]);
  });
  test("of all rows carry the row's name", () => {
    const { panel, answer } = titled("Spend");
    expect(singlesOf(panel, dataOf(panel, answer)).map((s) => s.title).slice(0, 2)).toEqual(["ams", "fra"]);
  });
  test("lie on their gauge", () => {
    const [s] = singlesOf(panelOf("gauge"), dataOf(panelOf("gauge", { fieldConfig: { defaults: { min: 10, max: 20 } } }), answerOf({ name: "v", type: "number", values: [15] })));
    expect([along(s!.field, 15), along(s!.field, 5), along(s!.field, 50), along(s!.field, null)]).toEqual([0.5, 0, 1, 0]);
  });
});

describe("tables", () => {
  const data = dataOf(panelOf("table"), answerOf({ name: "n", type: "number", values: [2, null, 10, 1] }, { name: "s", type: "string", values: ["b10", "b9", null, "a"] }))[0]!;
  test("sort numbers and texts, what is absent last", () => {
    expect(sortedRows(4, data.fields[0], true)).toEqual([2, 0, 3, 1]);
    expect(sortedRows(4, data.fields[0], false)).toEqual([3, 0, 2, 1]);
    expect(sortedRows(4, data.fields[1], false)).toEqual([3, 1, 0, 2]);
    expect(sortedRows(4, undefined, false)).toEqual([0, 1, 2, 3]);
  });
  test("sort by a click, the other way by the next, and not by the third", () => {
    show(<Table panel={panelOf("table")} data={[data]} theme={theme} />);
    const first = () => [...root.querySelectorAll("tbody tr td:first-child")].map((c) => c.textContent);
    const click = () => act(() => void root.querySelector("th button")!.dispatchEvent(new Event("click", { bubbles: true })));
    click();
    expect(first()).toEqual(["10", "2", "1", ""]);
    expect(root.querySelector("th")!.getAttribute("aria-sort")).toBe("descending");
    click();
    expect(first()).toEqual(["1", "2", "10", ""]);
    click();
    expect(first()).toEqual(["2", "", "10", "1"]);
  });
});

test("tooltips cut rows, but not the one at the pointer, and zeros first", () => {
  const rows = Array.from({ length: 20 }, (_, i) => ({ name: i, y: i < 8 ? 0 : i }));
  expect(tipRows("desc", rows, rows[3]!).map((r) => r.name)).toEqual([19, 18, 17, 16, 15, 14, 13, 12, 11, 10, 9, 8, 0, 3]);
  expect(tipRows(undefined, rows.slice(0, 2), rows[0]!)).toHaveLength(2);
});

test("rows without a value make no chart, though they make a table", () => {
  const answer = answerOf({ name: "time", type: "time", values: [start] }, { name: "share", type: "number", values: [null] });
  expect(["timeseries", "state-timeline", "table"].map((type) => contentOf(panelOf(type), answer).drawable)).toEqual([false, false, true]);
  const ages = answerOf({ name: "age", type: "number", values: [0, 1] }, { name: "newest", type: "number", values: [null, null] });
  expect(contentOf(panelOf("trend", { options: { xField: "age" } }), ages).drawable).toBe(false);
});

describe("legends", () => {
  const items = ["a", "b", "c"].map((title) => ({ title, color: "#fff", calcs: [] }));
  test("show one series alone, then all again", () => {
    const alone = toggled(items, new Set(), "a", false);
    expect([...alone]).toEqual(["b", "c"]);
    expect([...toggled(items, alone, "a", false)]).toEqual([]);
    expect([...toggled(items, alone, "b", false)]).toEqual(["a", "c"]);
  });
  test("switch one off and on", () => {
    const off = toggled(items, new Set(), "b", true);
    expect([...off]).toEqual(["b"]);
    expect([...toggled(items, off, "b", true)]).toEqual([]);
  });
  test("leave the chart most of the room", () => {
    expect(legendSize({}, items, 600, 100)).toEqual({ right: 0, bottom: 0, shown: 3 });
    expect(legendSize({ displayMode: "table" }, Array(50).fill(items[0]), 600, 300).bottom).toBe(90);
    expect(legendSize({ placement: "right" }, items, 300, 300).right).toBe(0);
    const many = Array.from({ length: 40 }, (_, i) => ({ title: `series ${i}`, color: "#fff", calcs: [] }));
    expect(legendSize({}, many, 600, 300)).toEqual({ right: 0, bottom: 44, shown: 11 });
    expect(legendSize({}, many, 600, 120).bottom).toBe(24);
  });
  test("keep the names that have no room behind a button", () => {
    const size = { right: 0, bottom: 44, shown: 1 };
    const view = <Legend options={{}} items={items} hidden={new Set()} onHide={() => {}} size={size} height={300} />;
    show(view);
    const names = () => [...root.querySelectorAll("button")].map((b) => b.textContent);
    expect(names()).toEqual(["a", "+2 more"]);
    act(() => root.querySelectorAll("button")[1]!.click());
    expect(names()).toEqual(["a", "b", "c", "show fewer"]);
    act(() => void root.querySelector("button")!.dispatchEvent(new KeyboardEvent("keydown", { key: "Escape", bubbles: true })));
    expect(names()).toEqual(["a", "+2 more"]);
  });
  test("leave out what has no value, and name zeros last", () => {
    const panel = panelOf("timeseries");
    const numbers = { none: [null, null], zeros: [0, null], some: [0, 1] };
    const answer = answerOf({ name: "time", type: "time", values: [start, start + 1] }, ...Object.entries(numbers).map(([name, values]) => ({ name, type: "number" as const, values })));
    expect(timeseries.legend(context({ panel, answer })).map((i) => i.title)).toEqual(["some", "zeros"]);
  });
  test("give what they do not list the colour of its series", () => {
    const panel = panelOf("timeseries", { fieldConfig: { overrides: [{ matcher: { id: "byName", options: "low" }, properties: [{ id: "custom.hideFrom", value: { viz: false, legend: true } }] }] } });
    const columns = ["low", "effect"].flatMap((name) => ["de", "en"].map((language) => ({ name, type: "number" as const, values: [1], labels: { language } })));
    const [data] = dataOf(panel, answerOf({ name: "time", type: "time", values: [start] }, ...columns));
    expect(data!.fields.slice(1).map((f) => f.tone)).toEqual([0, 1, 0, 1]);
  });
});

describe("shapes of answers", () => {
  test("heat maps take bounds, or one series per bucket in the order of numbers", () => {
    const rows = titled("Subtitle delay");
    const bounds = cellsOf(dataOf(rows.panel, rows.answer), 60_000)!;
    expect(bounds.cells[0]).toEqual({ from: start, to: start + 600_000, low: 0, high: 5, count: 0 });
    const series = titled("Retention");
    expect(cellsOf(dataOf(series.panel, series.answer), 60_000)!.rows).toEqual(["n 5", "n 10", "n 25", "n 50", "n 100", "n 250", "n 500", "n 1000"]);
  });
  test("heat maps hide what their filter names and name rows with the unit", () => {
    const f = titled("Retention");
    const labels: Column = { name: "le", type: "string", values: ["5", "10"] };
    const panel: Panel = { ...f.panel, fieldConfig: { defaults: { displayName: "${__field.labels.le}" } }, options: { filterValues: { le: 1, ge: 9 }, yAxis: { unit: "ms" } } };
    const drawn = (values: number[]) => {
      const d = heatmap.draw(context({ panel, answer: answerOf({ name: "time", type: "time", values: [start, start] }, labels, { name: "n", type: "number", values }) }));
      return { cells: (d.option.series as { data: unknown[] }[])[0]!.data, tip: d.tip!(0, d.plot.height - 1)!.rows[0]!.name };
    };
    expect(drawn([1, 2])).toMatchObject({ cells: [[start, 1]], tip: "5 ms" });
    expect(drawn([2, 9]).cells).toEqual([[start, 0]]);
  });
  test("histograms count every value once, and take buckets as they are", () => {
    const f = titled("Time to convert");
    const h = histogramOf(dataOf(f.panel, f.answer), f.panel.options!)!;
    expect(h.series.map((s) => s.counts.reduce((a, b) => a + b))).toEqual([900, 900]);
    const given = dataOf(panelOf("histogram"), answerOf({ name: "xMin", type: "number", values: [0, 5] }, { name: "xMax", type: "number", values: [5, 10] }, { name: "n", type: "number", values: [3, 4] }));
    expect(histogramOf(given, {})).toMatchObject({ buckets: [{ low: 0, high: 5 }, { low: 5, high: 10 }], series: [{ counts: [3, 4] }] });
  });
  test("XY charts take low and high as ends of error bars", () => {
    const f = titled("Conversion by latency");
    const [s, ...rest] = xySeriesOf({ panel: f.panel, data: dataOf(f.panel, f.answer) });
    expect([rest.length, s!.x.name, s!.y.name, s!.low!.name, s!.high!.name]).toEqual([0, "latency", "conversion", "conversion_low", "conversion_high"]);
  });
  test("states last until the next one, the last to the end, and equal ones are one", () => {
    const f = titled("Cap state");
    const { stretches } = timelineOf({ panel: f.panel, data: dataOf(f.panel, f.answer), range });
    const minutes = (row: number) => stretches.filter((s) => s.row === row).map((s) => [s.value, (s.from - start) / 60_000, (s.to - start) / 60_000]);
    expect(minutes(0)).toEqual([["ok", 0, 60], ["watch", 60, 130], ["ok", 130, 300], ["watch", 300, 360]]);
    expect(minutes(2)).toEqual([["ok", 0, 60], ["watch", 130, 190], ["ok", 190, 360]]);
  });
});

describe("colours", () => {
  test("are names, shades, places in the palette and on scales, or CSS", () => {
    expect([colorOf(theme, "green"), colorOf(theme, "dark-red"), colorOf(theme, "palette:9"), colorOf(theme, "continuous-GrYlRd:1"), colorOf(theme, "#123456"), colorOf(theme, undefined)]).toEqual(["#00aa00", "#6d0000", "#200000", "#aa0000", "#123456", "#dddddd"]);
    expect(colorOf(theme, "constructor")).toBe("constructor");
  });
  test("along a scale", () => expect([alongScale(["#000000", "#ffffff"], -1), alongScale(["#000000", "#808080", "#ffffff"], 0.5), alongScale(["#000000", "#ffffff"], 2)]).toEqual(["#000000", "#808080", "#ffffff"]));
  test("have ink that reads", () => expect([inkOn("#ffffff"), inkOn("#000000"), inkOn("#f0e442")]).toEqual(["#000000", "#ffffff", "#000000"]));
});

test("hover reaches all listeners until they leave", () => {
  const hover = createHover();
  const listener = vi.fn();
  const leave = hover.subscribe(listener);
  hover.set(5);
  leave();
  hover.set(6);
  expect(listener.mock.calls).toEqual([[5]]);
});
