// A panel as a picture: its title above it on the panel's own ground.

const scale = 2;
const head = 34;

/** The rules of all stylesheets, for the copy that is drawn. */
function styles(): string {
  return [...document.styleSheets].map((sheet) => {
    try {
      return [...sheet.cssRules].map((r) => r.cssText).join("\n");
    } catch {
      return ""; // A sheet of another origin cannot be read.
    }
  }).join("\n");
}

const loaded = (url: string) =>
  new Promise<HTMLImageElement>((resolve, reject) => {
    const image = new Image();
    image.onload = () => resolve(image);
    image.onerror = () => reject(new Error("The panel could not be drawn as a picture."));
    image.src = url;
  });

/** Everything but canvases, drawn by the browser from a copy of the element. */
async function drawing(element: HTMLElement, width: number, height: number): Promise<HTMLImageElement> {
  const copy = element.cloneNode(true) as HTMLElement;
  for (const canvas of copy.querySelectorAll("canvas")) canvas.remove();
  copy.setAttribute("xmlns", "http://www.w3.org/1999/xhtml");
  // What the copy would inherit from the page.
  copy.style.fontFamily = getComputedStyle(element).fontFamily;
  const style = document.createElement("style");
  style.textContent = styles();
  copy.prepend(style);
  const text = new XMLSerializer().serializeToString(copy);
  const svg = `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}"><foreignObject width="100%" height="100%">${text}</foreignObject></svg>`;
  return loaded(`data:image/svg+xml;charset=utf-8,${encodeURIComponent(svg)}`);
}

/** Draws the panel body in element (or the element itself) with its title. */
export async function toPNG(element: HTMLElement, title: string): Promise<Blob> {
  const body = element.matches(".viz") ? element : (element.querySelector<HTMLElement>(".viz") ?? element);
  const box = body.getBoundingClientRect();
  const style = getComputedStyle(body);
  const canvas = document.createElement("canvas");
  canvas.width = Math.ceil(box.width + 24) * scale;
  canvas.height = Math.ceil(box.height + head + 12) * scale;
  const c = canvas.getContext("2d")!;
  c.scale(scale, scale);
  c.fillStyle = style.getPropertyValue("--viz-background").trim() || "#ffffff";
  c.fillRect(0, 0, canvas.width, canvas.height);
  c.fillStyle = style.color;
  c.font = `600 14px ${style.fontFamily}`;
  c.textBaseline = "middle";
  c.fillText(title, 12, head / 2 + 2, box.width);
  for (const from of body.querySelectorAll("canvas")) {
    const r = from.getBoundingClientRect();
    c.drawImage(from, r.left - box.left + 12, r.top - box.top + head, r.width, r.height);
  }
  c.drawImage(await drawing(body, box.width, box.height), 12, head, box.width, box.height);
  return new Promise((resolve, reject) => canvas.toBlob((b) => (b ? resolve(b) : reject(new Error("The browser made no picture."))), "image/png"));
}
