import { expect, test } from "vitest";
import { knownUnits } from "../format/units";
import type { Dashboard, Panel } from "../model";
import { drawn } from "./index";

const generated = import.meta.glob<Dashboard>("../../../../../deploy/grafana/dashboards/*.json", { eager: true, import: "default" });
const panels = Object.values(generated).flatMap((d) => d.panels.flatMap((p): [string, Panel][] => [p, ...(p.panels ?? [])].filter((q) => q.type !== "row").map((q) => [`${d.uid}, ${q.title}`, q])));

test("there are panels", () => expect(panels.length).toBeGreaterThan(10));

test.each(panels)("%s is of a type that we draw, in units that we know", (_, panel) => {
  expect(drawn).toContain(panel.type);
  const units = [panel.fieldConfig?.defaults?.unit, ...(panel.fieldConfig?.overrides ?? []).flatMap((o) => o.properties.filter((p) => p.id === "unit").map((p) => p.value as string)), panel.options?.yAxis?.unit, panel.options?.cellValues?.unit];
  for (const unit of units) if (unit && !/^(prefix|suffix|time|si|count|currency|bool):/.test(unit)) expect(knownUnits).toContain(unit);
});
