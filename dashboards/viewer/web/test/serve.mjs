// Serves the built page with made-up answers, to look at the shell without an engine: npm run build && npm run fixtures.
// The drops away, error, empty, slow and unknown show what the page makes of trouble; FIRST=1 has no drop yet, AWAY=1 no choices.
import { createReadStream, existsSync, readdirSync, readFileSync } from "node:fs";
import { createServer } from "node:http";
import { extname, join } from "node:path";

const web = join(import.meta.dirname, "..");
const generated = join(web, "../../../deploy/grafana/dashboards");
const boards = readdirSync(generated).map((f) => JSON.parse(readFileSync(join(generated, f), "utf8")));
const types = { ".html": "text/html", ".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml" };
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; connect-src 'self'; base-uri 'none'; form-action 'none'";

const drops = ["drop-2025-10-11-aurora", 'd"rop <b>\'; --', "дроп 🎉 премьера", "הצגת בכורה", "away", "empty", "slow", "error", "unknown"];
const creators = Array.from({ length: 10_000 }, (_, i) => `creator-${String(i).padStart(5, "0")}`);
const values = { drop: drops, creator: creators, pop: ["fra1", "iad2", "gru1", "nrt1", "sin1"], currency: ["EUR", "USD", "JPY"], language: ["de", "fr", "ja"] };
const start = Date.UTC(2025, 9, 11, 18);

const alerts = [
  { name: "VelocityCollapse", state: "firing", severity: "page", owner: "live-ops", summary: "Conversion velocity fell to 20 % of its plan", nextStep: "Look at the funnel by POP, then at the checkout's errors.", runbook: "Open Drop live.\nCompare POPs.\nRoll back the last decision.", dashboard: "droplift-drop-live", labels: { drop: drops[0] }, since: Date.now() - 340_000, value: 0.2 },
  { name: "SettlementSLO", state: "pending", severity: "ticket", owner: "finance", summary: "Settlement takes longer than 15 min", nextStep: "Look at the held sales.", runbook: "Page the settlement role.", dashboard: "droplift-creators", labels: { currency: "EUR" }, since: Date.now() - 60_000, value: 1100 },
  { name: "ConsumerLag", state: "inactive", severity: "page", owner: "platform", summary: "", nextStep: "", runbook: "", dashboard: "", labels: {}, since: null, value: null },
];

// Each type of panel gets columns that it can draw; their names are those that the panel's own settings mention.
function answer(panel) {
  const named = (panel.fieldConfig?.overrides ?? []).filter((o) => o.matcher.id === "byName").map((o) => o.matcher.options);
  const wave = (n, k) => Array.from({ length: n }, (_, i) => Math.round(100 + 80 * Math.sin(i / (9 + k)) + 30 * k + 9 * Math.random()));
  const x = panel.options?.xField;
  const columns = (n, first) => [first, ...["value", ...named.filter((m) => m !== first.name)].slice(0, 6).map((name, k) => ({ name, type: "number", values: wave(n, k) }))];
  const shapes = {
    stat: () => columns(1, { name: "players", type: "number", values: [48211] }),
    table: () => columns(5, { name: "pop", type: "string", values: values.pop }),
    barchart: () => columns(5, { name: x ?? "step", type: "string", values: ["landed", "saw the offer", "clicked", "began checkout", "completed"] }),
    trend: () => columns(60, { name: x ?? "x", type: "number", values: Array.from({ length: 60 }, (_, i) => i) }),
  };
  const series = () => columns(120, { name: "time", type: "time", values: Array.from({ length: 120 }, (_, i) => start + i * 60_000) });
  const frames = (panel.targets ?? []).map((t) => ({ ref: t.refId, columns: (shapes[panel.type] ?? series)() }));
  return { range: { from: start - 1_800_000, to: start + 7_200_000, step: 60 }, frames };
}

const problem = (status, kind, message, fix) => ({ status, body: { error: { class: kind, message, fix } } });

async function api(path, q) {
  const [, , what, uid, kind, name] = path.split("/");
  const board = boards.find((b) => b.uid === uid);
  if (what === "info") return { version: "0.0.0-fixture", title: "Droplift", now: Date.now(), demo: false, token: false };
  if (what === "alerts") return alerts;
  if (!uid) return boards.map(({ uid, title, description }) => ({ uid, title, description }));
  if (!board) return problem(404, "unknown", `There is no dashboard ${uid}.`, "Choose one of the list.");
  if (!kind) return board;
  if (kind === "variables") {
    if (process.env.AWAY) return problem(503, "away", "ClickHouse does not answer at 127.0.0.1:8123.", "See `droplift status`.");
    if (process.env.FIRST && name === "drop") return { options: [], more: false };
    const found = (values[name] ?? []).filter((v) => v.includes(q.get("q") ?? ""));
    const limit = Number(q.get("limit") ?? 200);
    return { options: found.slice(0, limit).map((v) => ({ text: v, value: v })), more: found.length > limit };
  }
  if (kind === "annotations") return [{ layer: "Drop", color: "blue", time: start, timeEnd: null, title: "Drop opens", text: "", tags: ["drop"] }];
  const panel = board.panels.find((p) => String(p.id) === name && p.type !== "row");
  switch (q.get("var-drop")) {
    case "away":
      return problem(503, "away", "ClickHouse does not answer at 127.0.0.1:8123.", "See `droplift status`; the page asks again by itself.");
    case "error":
      return problem(504, "timeout", "The query took longer than 5 s.", "Choose a shorter range.");
    case "unknown":
      return problem(404, "unknown_drop", "There is no drop unknown.", "Choose another drop.");
    case "empty":
      return { ...answer(panel), frames: [] };
    case "slow":
      await new Promise((done) => setTimeout(done, 8000));
  }
  return answer(panel);
}

createServer(async (request, response) => {
  const { pathname, searchParams } = new URL(request.url, "http://fixture");
  response.setHeader("Content-Security-Policy", policy);
  if (pathname.startsWith("/api/")) {
    const got = await api(pathname, searchParams);
    response.writeHead(got.status ?? 200, { "Content-Type": "application/json" });
    return response.end(JSON.stringify(got.body ?? got));
  }
  const file = join(web, "dist", extname(pathname) && !pathname.includes("..") ? pathname : "index.html");
  if (!existsSync(file)) return response.writeHead(404).end();
  response.writeHead(200, { "Content-Type": types[extname(file)] ?? "application/octet-stream" });
  createReadStream(file).pipe(response);
}).listen(Number(process.env.PORT ?? 8137), "127.0.0.1");
