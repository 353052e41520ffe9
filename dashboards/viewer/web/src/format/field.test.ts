import { describe, expect, test } from "vitest";
import type { Column, PanelAnswer } from "../api";
import type { FieldConfig, Override, Panel, Thresholds } from "../model";
import { dataOf, longToWide, mapped, thresholdColor } from "./field";
import { reduce } from "./reduce";
import { interpolate, regexp } from "./text";

const range = { from: 0, to: 60_000, step: 1 };
const time: Column = { name: "time", type: "time", values: [1000, 2000, 1000, 3000] };
const pop: Column = { name: "pop", type: "string", values: ["ams", "ams", "nrt", "nrt"] };
const ms: Column = { name: "ms", type: "number", values: [10, 20, 30, 40] };

function fields(columns: Column[], defaults: FieldConfig = {}, overrides: Override[] = [], type = "timeseries") {
  const panel: Panel = { id: 1, type, title: "P", gridPos: { x: 0, y: 0, w: 1, h: 1 }, targets: [{ refId: "A", queryType: type }], fieldConfig: { defaults, overrides } };
  return dataOf(panel, { range, frames: [{ ref: "A", columns }] })[0]!.fields;
}

describe("long to wide", () => {
  test("makes one field per label with absent values where it had no row", () => {
    const wide = longToWide([time, pop, ms].map((c) => ({ ...c, labels: {} })));
    expect(wide.map((f) => [f.name, f.labels, f.values])).toEqual([
      ["time", {}, [1000, 2000, 3000]],
      ["ms", { pop: "ams" }, [10, 20, null]],
      ["ms", { pop: "nrt" }, [30, null, 40]],
    ]);
  });
  test("sorts times that come in any order", () => {
    const wide = longToWide([{ ...time, values: [3, 1, 2, 1], labels: {} }, { ...pop, values: ["a", "a", "a", "b"], labels: {} }, { ...ms, labels: {} }]);
    expect(wide.map((f) => f.values)).toEqual([[1, 2, 3], [20, 30, 10], [40, null, null]]);
  });
  test("keeps names with separators and quotes apart", () => {
    const wide = longToWide([{ ...time, values: [1, 1], labels: {} }, { ...pop, values: [`a","b`, "a"], labels: {} }, { name: "x", type: "string", values: ["c", `","b c`], labels: {} }, { ...ms, values: [1, 2], labels: {} }]);
    expect(wide).toHaveLength(3);
  });
  test("leaves an answer without texts, and tables, as they are", () => {
    expect(fields([{ ...time, values: [1] }, { ...ms, values: [1] }]).map((f) => f.title)).toEqual(["time", "ms"]);
    const panel: Panel = { id: 1, type: "table", title: "", gridPos: { x: 0, y: 0, w: 1, h: 1 }, targets: [{ refId: "A", queryType: "table" }] };
    expect(dataOf(panel, { range, frames: [{ ref: "A", columns: [time, pop, ms] }] })[0]!.fields).toHaveLength(3);
  });
});

describe("names", () => {
  test("are the label where all have only that one", () => expect(fields([time, pop, ms]).map((f) => f.title)).toEqual(["time", "ms ams", "ms nrt"]));
  test("list several labels", () => {
    const language: Column = { name: "language", type: "string", values: ["en", "en", "ja", "ja"] };
    expect(fields([time, pop, language, ms])[1]!.title).toBe('ms {language="en", pop="ams"}');
  });
  test("follow a pattern", () => expect(fields([time, pop, ms], { displayName: "${__field.labels.pop} ${__field.name}" })[2]!.title).toBe("nrt ms"));
  test("of Prometheus are the legend's", () => {
    const answer: PanelAnswer = { range, frames: ["churn", "velocity"].map((stage) => ({ ref: "A", name: stage, columns: [{ ...time, values: [1] }, { name: "Value", type: "number", values: [1], labels: { stage, outcome: "ok" } }] })) };
    const panel: Panel = { id: 1, type: "timeseries", title: "", gridPos: { x: 0, y: 0, w: 1, h: 1 }, targets: [{ refId: "A", expr: "x", legendFormat: "{{stage}}" }] };
    expect(dataOf(panel, answer).map((d) => d.fields[1]!.title)).toEqual(["churn", "velocity"]);
  });
});

describe("overrides", () => {
  const set = (id: string, options: unknown, unit: string): Override => ({ matcher: { id, options }, properties: [{ id: "unit", value: unit }, { id: "custom.lineWidth", value: 3 }] });
  const units = (o: Override[], defaults: FieldConfig = {}) => fields([time, pop, ms], { unit: "short", ...defaults }, o).map((f) => f.config.unit);
  test("by name match the column's name and the name on screen", () => {
    expect(units([set("byName", "ms", "ms")])).toEqual(["short", "ms", "ms"]);
    expect(units([set("byName", "ms nrt", "ms")])).toEqual(["short", "short", "ms"]);
  });
  test("by pattern match the name on screen, that of the defaults too", () => {
    expect(units([set("byRegexp", "/\\bnrt\\b/", "s")], { displayName: "${__field.labels.pop} USD" })).toEqual(["short", "short", "s"]);
    expect(units([set("byRegexp", "/(/", "s")])).toEqual(["short", "short", "short"]);
  });
  test("by type and by query", () => {
    expect(units([set("byType", "time", "dateTimeAsIso")])[0]).toBe("dateTimeAsIso");
    expect(units([set("byFrameRefID", "B", "s"), set("byFrameRefID", "A", "h")])).toEqual(["h", "h", "h"]);
  });
  test("later ones win and leave the defaults alone", () => {
    const defaults: FieldConfig = { custom: { lineWidth: 1, fillOpacity: 5 } };
    const f = fields([time, ms], defaults, [set("byName", "ms", "s"), set("byName", "ms", "h")])[1]!;
    expect([f.config.unit, f.config.custom]).toEqual(["h", { lineWidth: 3, fillOpacity: 5 }]);
    expect(defaults.custom).toEqual({ lineWidth: 1, fillOpacity: 5 });
  });
  test("rename", () => expect(fields([time, ms], {}, [{ matcher: { id: "byName", options: "ms" }, properties: [{ id: "displayName", value: "latency of ${__field.name}" }] }])[1]!.title).toBe("latency of ms"));
});

describe("showing a value", () => {
  const shown = (config: FieldConfig, v: number | string | null, type: Column["type"] = "number") => fields([{ ...time, values: [1] }, { name: "v", type, values: [v] }], config, [], "table")[1]!.display(v);
  test("has the unit and the decimals", () => expect(shown({ unit: "percentunit", decimals: 1 }, 0.0647).text).toBe("6.5%"));
  test("says what the panel says of no value", () => {
    expect(shown({ noValue: "not measured" }, null).text).toBe("not measured");
    expect(shown({}, null).text).toBe("");
  });
  test("of a text is the text, and a number in a text has the unit", () => {
    expect(shown({ unit: "ms" }, "final", "string").text).toBe("final");
    expect(shown({}, "12", "string").text).toBe("12");
  });
  test("of a time is UTC, with ms where the range is short", () => {
    expect(fields([{ ...time, values: [0, 3_600_000] }, { ...ms, values: [1, 2] }])[0]!.display(3_600_000).text).toBe("1970-01-01 01:00:00");
    expect(fields([{ ...time, values: [0, 500] }, { ...ms, values: [1, 2] }])[0]!.display(500).text).toBe("1970-01-01 00:00:00.500");
  });
  test("takes the mapping's text and colour, or its colour alone", () => {
    const mappings: FieldConfig["mappings"] = [{ type: "value", options: { "1": { text: "on", color: "green" }, final: { color: "blue" } } }];
    expect(shown({ mappings }, 1)).toMatchObject({ text: "on", color: "green" });
    expect(shown({ mappings }, "final", "string")).toMatchObject({ text: "final", color: "blue" });
  });
  test("has no colour without thresholds", () => expect(shown({}, 5000).color).toBeUndefined());
});

describe("mappings", () => {
  test("take the first that fits", () => {
    const list: FieldConfig["mappings"] = [
      { type: "range", options: { from: 0, to: 10, result: { text: "low" } } },
      { type: "range", options: { from: 10, to: null, result: { text: "high" } } },
      { type: "regex", options: { pattern: "/^burn (.*)/", result: { text: "$1!" } } },
      { type: "special", options: { match: "null+nan", result: { text: "none" } } },
      { type: "special", options: { match: "true", result: { text: "yes" } } },
      { type: "special", options: { match: "empty", result: { text: "blank" } } },
    ];
    expect([10, 11, "burn fast", null, NaN, true, "", "other", -1].map((v) => mapped(list, v)?.text)).toEqual(["low", "high", "fast!", "none", "none", "yes", "blank", undefined, undefined]);
  });
  test("of values never match what objects inherit", () => expect(mapped([{ type: "value", options: {} }], "constructor")).toBeUndefined());
});

describe("thresholds", () => {
  const steps: Thresholds["steps"] = [{ value: null, color: "green" }, { value: 10, color: "orange" }, { value: 20, color: "red" }];
  test("begin at their value", () => expect([-5, 9.99, 10, 19, 20, 1e9].map((v) => thresholdColor({ mode: "absolute", steps }, v, 0))).toEqual(["green", "green", "orange", "orange", "red", "red"]));
  test("in percent go by the share of the range", () => expect(thresholdColor({ mode: "percentage", steps }, 5, 0.15)).toBe("orange"));
  test("of an axis from 0 to 50 in percent", () => {
    const f = fields([{ ...time, values: [1, 2] }, { name: "v", type: "number", values: [0, 4] }], { min: 0, max: 50, color: { mode: "thresholds" }, thresholds: { mode: "percentage", steps } })[1]!;
    expect(f.display(4.9).color).toBe("green");
    expect(f.display(5).color).toBe("orange");
  });
});

test("ranges are those of all fields, or a field's own", () => {
  const columns: Column[] = [{ name: "members", type: "number", values: [1000] }, { name: "age 0", type: "number", values: [1, 3, 2] }];
  const shares = (own: boolean) => fields(columns, {}, [{ matcher: { id: "byName", options: "age 0" }, properties: [{ id: "fieldMinMax", value: own }] }], "table").map((f) => f.display(2).share);
  expect(shares(true)[1]).toBe(0.5);
  expect(shares(false)[1]).toBeCloseTo(0.001);
});
test("axes are named by labels", () => {
  const columns: Column[] = [{ ...time, values: [1] }, { name: "net", type: "number", values: [1], labels: { reporting: "JPY" } }];
  expect(fields(columns, { custom: { axisLabel: "in ${__field.labels.reporting}" } })[1]!.config.custom.axisLabel).toBe("in JPY");
});

describe("calculations", () => {
  const values = [null, 4, 1, 3, null];
  test.each([["last", null], ["lastNotNull", 3], ["first", null], ["firstNotNull", 4], ["min", 1], ["max", 4], ["mean", 8 / 3], ["median", 3], ["sum", 8], ["count", 3], ["countAll", 5], ["range", 3], ["diff", -1], ["diffperc", -25], ["distinctCount", 3],
    ["changeCount", 2], ["p50", 3], ["p99", 4], ["unknown", null], ["constructor", null]])("%s", (id, want) => expect(reduce(values, id)).toEqual(want));
  test("of nothing", () => expect(["lastNotNull", "mean", "sum", "count", "p95", "min"].map((id) => reduce([null], id))).toEqual([null, null, 0, 0, null, null]));
  test("of texts", () => expect(reduce(["a", null, "b"], "lastNotNull")).toBe("b"));
  test("of more values than a call takes arguments", () => expect(reduce(Array.from({ length: 300_000 }, (_, i) => i), "max")).toBe(299_999));
});

test("patterns of names", () => {
  expect(interpolate("${a} and ${b:csv} and ${c}", (p) => ({ a: "1", b: "2" })[p])).toBe("1 and 2 and ${c}");
  expect(interpolate('${x["a b"]}', (p) => p)).toBe("x.a b");
  expect([regexp("/a.c/i")!.test("xABCx"), regexp("abc")!.test("xabc"), regexp("/(/")]).toEqual([true, false, undefined]);
});
