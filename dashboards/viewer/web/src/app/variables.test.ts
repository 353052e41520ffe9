import { expect, test } from "vitest";
import type { Dashboard } from "../model";
import { choices, choose, chosen, hasDrop, query, toggled } from "./variables";

const board: Dashboard = {
  uid: "b",
  title: "B",
  panels: [],
  templating: {
    list: [
      { type: "datasource", name: "clickhouse" },
      { type: "query", name: "creator", multi: true, includeAll: true, definition: "SELECT creator_id FROM drops" },
      { type: "query", name: "drop", definition: "SELECT drop_id FROM drops WHERE has(splitByChar(',', '${creator:percentencode}'), creator_id)" },
      { type: "query", name: "pop", multi: true, includeAll: true, definition: "SELECT pop FROM velocity WHERE drop_id = '${drop:percentencode}'" },
    ],
  },
};
const [creator, drop] = choices(board);

test("data sources are no choice of people", () => {
  expect(choices(board).map((v) => v.name)).toEqual(["creator", "drop", "pop"]);
  expect(hasDrop(board)).toBe(true);
  expect(hasDrop({ ...board, templating: { list: [] } })).toBe(false);
});

test("a choice starts again what it narrows, and nothing else", () => {
  const vars = { creator: ["a"], drop: ["d1"], pop: ["fra1"] };
  expect(choose(board, vars, "drop", ["d2"])).toEqual({ creator: ["a"], drop: ["d2"] });
  expect(choose(board, vars, "creator", ["b"])).toEqual({ creator: ["b"], pop: ["fra1"] });
  expect(choose(board, vars, "pop", ["gru1"])).toEqual({ creator: ["a"], drop: ["d1"], pop: ["gru1"] });
  expect(vars).toEqual({ creator: ["a"], drop: ["d1"], pop: ["fra1"] });
});

test("All narrows nothing", () => {
  expect(choose(board, { creator: ["a"], drop: ["d1"] }, "creator", [])).toEqual({ drop: ["d1"] });
});

test("a choice is said shortly", () => {
  expect(chosen(creator!, undefined)).toBe("All");
  expect(chosen(creator!, ["a", "b"])).toBe("a, b");
  expect(chosen(creator!, ["a", "b", "c"])).toBe("a + 2");
  expect(chosen(drop!, [])).toBe("none yet");
  expect(chosen({ ...drop!, current: { text: "week", value: "week" } }, undefined)).toBe("week");
});

test("toggling adds and takes away", () => {
  expect(toggled(undefined, "a")).toEqual(["a"]);
  expect(toggled(["a", "b"], "a")).toEqual(["b"]);
});

test("the server is told of this dashboard's variables only", () => {
  const q = query(board, { pop: ["a&b", "ü"], drop: ["d"], language: ["de"] }, { from: "start", to: "data" });
  expect([...q]).toEqual([
    ["from", "start"],
    ["to", "data"],
    ["var-drop", "d"],
    ["var-pop", "a&b"],
    ["var-pop", "ü"],
  ]);
});
