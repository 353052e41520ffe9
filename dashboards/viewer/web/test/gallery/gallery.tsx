// A page with a panel of every type from made-up answers, for a person to look at:
//   npx vite test/gallery   then  /?theme=light&width=340&height=260&only=stat
import { render } from "preact";
import { contentOf, createHover, PanelBody, toPNG } from "../../src/panels";
import { annotations, fixtures } from "./fixtures";

const asked = new URLSearchParams(location.search);
const theme = asked.get("theme") === "light" ? "light" : "dark";
const width = Number(asked.get("width") ?? 600);
const height = Number(asked.get("height") ?? 300);
const only = asked.get("only");
const hover = createHover();
document.body.className = theme;

addEventListener("securitypolicyviolation", (e) => document.body.append(`CSP: ${e.violatedDirective} ${e.sourceFile}:${e.lineNumber}; `));
addEventListener("error", (e) => document.body.append(`Error: ${e.message}; `));

render(
  <main>
    {fixtures.filter((f) => !only || f.panel.type === only).map(({ panel, answer }) => (
      <section key={panel.id} id={`panel-${panel.id}`}>
        <h3>{panel.title}</h3>
        <PanelBody content={contentOf(panel, answer)} annotations={annotations} theme={theme} width={width} height={height} hover={hover} onZoom={(from, to) => console.log("zoom", from, to)} />
      </section>
    ))}
  </main>,
  document.getElementById("root")!,
);

if (asked.has("hover")) setTimeout(() => {
  for (const over of document.querySelectorAll(".viz-over")) {
    const box = over.getBoundingClientRect();
    over.dispatchEvent(new PointerEvent("pointermove", { bubbles: true, clientX: box.left + box.width * 0.6, clientY: box.top + box.height * 0.5 }));
  }
}, 300);

if (asked.has("png")) setTimeout(async () => {
  for (const section of document.querySelectorAll("section")) {
    const image = new Image();
    image.src = URL.createObjectURL(await toPNG(section, section.querySelector("h3")!.textContent!));
    section.replaceChildren(image);
  }
}, 500);
