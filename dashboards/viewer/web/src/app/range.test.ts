import { describe, expect, test } from "vitest";
import { absolute, ago, defaultRange, ofDrop, parseUTC, presetsOf, rangeLabel, refreshMs, sinceLabel, spanLabel, utc, wider, zoomed } from "./range";

const at = Date.UTC(2025, 9, 11, 18);

describe("rangeLabel", () => {
  test.each([
    ["start-30m", "data", "Drop so far"],
    ["now-24h", "now", "Last 24 hours"],
    ["start-2h", "end+10m", "drop start − 2 h – drop end + 10 m"],
    ["start", "now", "drop start – now"],
    [String(at), String(at + 3_600_000), "2025-10-11 18:00 – 19:00 UTC"],
    ["2025-10-11T18:00:00Z", String(at + 86_400_000), "2025-10-11 18:00 – 2025-10-12 18:00 UTC"],
    [String(at), "data", "2025-10-11 18:00 – newest data"],
    ["<b>", "", "<b> – "],
  ])("%s to %s", (from, to, label) => expect(rangeLabel(from, to)).toBe(label));
});

test("seconds are said only where there are some", () => {
  expect(utc(at)).toBe("2025-10-11 18:00");
  expect(utc(at + 5000)).toBe("2025-10-11 18:00:05");
  expect(utc(8.64e15 + 1)).toBe("?");
  expect(spanLabel(at, at + 1000)).toBe("2025-10-11 18:00 – 18:00:01 UTC");
});

test("metrics of another day are since a day", () => {
  expect(sinceLabel(at + 7_000, at + 60_000)).toBe("since 18:00:07");
  expect(sinceLabel(at - 86_400_000, at)).toBe("since 2025-10-10 18:00:00");
});

test("a moment hangs on a drop or on the clock", () => {
  expect(["start-30m", "end", "data", "first-cue-5m", "last-cue"].every(ofDrop)).toBe(true);
  expect(["now-1h", "", String(at), "2025-10-11T18:00:00Z"].some(ofDrop)).toBe(false);
});

test("absolute moments are Unix ms or RFC 3339", () => {
  expect(absolute("1760205600000")).toBe(1760205600000);
  expect(absolute("2025-10-11T20:00:00+02:00")).toBe(at);
  for (const no of ["now", "data-1h", "", "12.5", "2025-13-99T00:00:00Z"]) expect(absolute(no)).toBeNull();
});

test("typed times are UTC, whatever the browser's zone", () => {
  expect(parseUTC("2025-10-11 18:00")).toBe(at);
  expect(parseUTC(" 2025-10-11T18:00:30Z ")).toBe(at + 30_000);
  for (const no of ["", "yesterday", "2025-10-11", "11/10/2025 18:00", "2025-10-11 25:00", "2025-10-11 18:00+02:00"]) expect(parseUTC(no)).toBeNull();
});

test("what utc writes, parseUTC reads", () => {
  for (const ms of [at, at + 59_000]) expect(parseUTC(utc(ms))).toBe(ms);
});

test("a zoom has whole seconds, an order and at least 10 s", () => {
  expect(zoomed(at + 90_400, at + 400)).toEqual({ from: String(at), to: String(at + 91_000) });
  expect(zoomed(at, at)).toEqual({ from: String(at), to: String(at + 10_000) });
});

test("wider doubles around the middle", () => {
  expect(wider(at, at + 60_000)).toEqual({ from: String(at - 30_000), to: String(at + 90_000) });
});

test("a dashboard of drops begins in event time, another as it says", () => {
  expect(defaultRange(true, false, { from: "now-6h", to: "now" })).toEqual({ from: "start-30m", to: "data" });
  expect(defaultRange(false, true, { from: "now-6h", to: "now" })).toEqual({ from: "now-6h", to: "now" });
  expect(defaultRange(true, true, undefined)).toEqual({ from: "first-cue-5m", to: "last-cue+5m" });
  expect(presetsOf(false).some((p) => p.from.startsWith("first-cue"))).toBe(false);
  expect(rangeLabel("first-cue", "last-cue+1h")).toBe("first cue – last cue + 1 h");
  expect(defaultRange(false, false, undefined)).toEqual({ from: "now-1h", to: "now" });
});

test.each([
  [-50, "now"],
  [3000, "3 s"],
  [240_000, "4 min"],
  [7_200_000, "2 h"],
  [259_200_000, "3 d"],
])("ago(%d)", (ms, text) => expect(ago(ms)).toBe(text));

test.each([
  ["5s", 5000],
  ["1m", 60_000],
  ["2h", 7_200_000],
  ["off", 0],
  ["", 0],
  ["0s", 0],
  ["-5s", 0],
  ["5", 0],
])("refreshMs(%s)", (text, ms) => expect(refreshMs(text)).toBe(ms));
