import { formattedValueToString, getValueFormat } from "@grafana/data";
import { describe, expect, test } from "vitest";
import { formatOf, joined, knownUnits } from "./units";

const sizes = [0, 1e-10, 4.2e-7, 1e-5, 0.00123, 0.02, 0.0225, 0.5, 0.999, 1, 1.005, 1.5, 2, 9.99, 12.34, 59, 60, 61.5, 99.95, 100, 100.5, 365, 999, 999.9, 1000, 1023, 1024, 1500,
  3599, 3600, 5400, 8760, 10080, 86399, 86400, 90061, 604800, 1e6, 1048576, 1234567.89, 31536000, 4e7, 1e9, 123456789012, 1e12, 1759602605123, 1e15];
const values = [...sizes, ...sizes.map((v) => -v)];
const custom = ["", "prefix:~", "suffix:players", "players", "a:b", "si:mF", "si:B", "count:conv/min", "currency:CA$", "currency:financial:$", "currency:financial:kr:suffix", "bool:held/free",
  "time:YYYY-MM-DD HH:mm"];
// These show the browser's own zone or language in Grafana; the viewer has one form, in UTC.
const ours = new Set(["dateTimeAsSystem", "dateTimeAsLocal", "dateTimeAsIsoNoDateIfToday"]);
// Dates beyond the year 275760 or so do not exist; moment and Date say so in other words.
const isDate = (unit: string) => unit.startsWith("dateTime") || unit.startsWith("time:");

describe("the text of Grafana", () => {
  for (const unit of [...knownUnits.filter((u) => !ours.has(u)), ...custom]) {
    test(unit || "no unit", () => {
      const theirs = getValueFormat(unit);
      for (const decimals of [undefined, 0, 1, 2, 3]) {
        for (const v of values) {
          if (isDate(unit) && Math.abs(v) > 1e13) continue;
          expect(joined(formatOf(unit)(v, decimals)), `${v} with ${decimals} decimals`).toBe(formattedValueToString(theirs(v, decimals, null, "utc")));
        }
      }
    });
  }
});

// The server sends null for NaN and infinities; a quotient of ours may still be one.
test("numbers that are none keep their unit", () => {
  expect(joined(formatOf("cpm")(NaN))).toBe("NaN c/m");
  expect(joined(formatOf("ms")(Infinity, 2))).toBe("∞ years");
});

test("a unit named like a property of objects is only a text", () => {
  expect(joined(formatOf("constructor")(3))).toBe("3 constructor");
  expect(joined(formatOf("toString:x")(3))).toBe("3 toString:x");
});

test("all times are UTC in one form", () => {
  for (const unit of ours) expect(joined(formatOf(unit)(1759602605123))).toBe("2025-10-04 18:30:05");
});
