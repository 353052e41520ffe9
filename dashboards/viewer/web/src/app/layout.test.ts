import { expect, test } from "vitest";
import type { Panel } from "../model";
import { neighbour, sections } from "./layout";

const panel = (id: number, x: number, y: number, w: number, h: number): Panel => ({ id, type: "stat", title: `p${id}`, gridPos: { x, y, w, h } });
const row = (title: string, y: number, more: Partial<Panel> = {}): Panel => ({ id: 0, type: "row", title, gridPos: { x: 0, y, w: 24, h: 1 }, ...more });
const board = (...panels: Panel[]) => ({ uid: "b", title: "B", panels });

test("panels lie under the row above them, from its top", () => {
  const got = sections(board(panel(1, 0, 0, 24, 4), row("A", 4), panel(3, 12, 5, 12, 8), panel(2, 0, 5, 12, 8), row("B", 13)));
  expect(got.map((s) => [s.id, s.title, s.panels.map((p) => [p.id, p.gridPos.y])])).toEqual([
    ["", "", [[1, 0]]],
    ["1", "A", [[2, 0], [3, 0]]],
    ["2", "B", []],
  ]);
});

test("a collapsed row brings its panels along", () => {
  const got = sections(board(row("A", 0, { collapsed: true, panels: [panel(1, 0, 1, 24, 4)] })));
  expect(got).toHaveLength(1);
  expect(got[0]).toMatchObject({ title: "A", collapsed: true, panels: [{ id: 1, gridPos: { y: 0 } }] });
});

test("arrows go to the nearest panel in their direction", () => {
  const box = (left: number, top: number, right: number, bottom: number) => ({ left, top, right, bottom });
  //  0 0 1
  //  0 0 2
  //  3 3 3
  const boxes = [box(0, 0, 100, 100), box(108, 0, 150, 46), box(108, 54, 150, 100), box(0, 108, 150, 150)];
  expect(neighbour(boxes, 0, "ArrowRight")).toBe(1);
  expect(neighbour(boxes, 1, "ArrowDown")).toBe(2);
  expect(neighbour(boxes, 2, "ArrowLeft")).toBe(0);
  expect(neighbour(boxes, 0, "ArrowDown")).toBe(3);
  expect(neighbour([box(0, 0, 150, 46), box(0, 54, 100, 100), box(0, 108, 150, 150)], 0, "ArrowDown")).toBe(1);
  expect(neighbour(boxes, 3, "ArrowUp")).toBe(0);
  expect(neighbour(boxes, 0, "ArrowLeft")).toBe(-1);
  expect(neighbour(boxes, 9, "ArrowUp")).toBe(-1);
});
