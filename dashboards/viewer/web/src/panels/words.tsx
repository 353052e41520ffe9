// Text panels: the part of Markdown that our dashboards use. HTML in it stays text.
import type { ComponentChildren } from "preact";

const inline = /(\*\*[^*]+\*\*|`[^`]+`|\[[^\]]+\]\([^)\s]+\))/;

function spans(text: string): ComponentChildren[] {
  return text.split(inline).map((part) => {
    if (part.startsWith("**")) return <strong>{part.slice(2, -2)}</strong>;
    if (part.startsWith("`")) return <code>{part.slice(1, -1)}</code>;
    const link = /^\[([^\]]+)\]\(((?:https?:\/\/|\/)[^)\s]+)\)$/.exec(part);
    return link ? <a href={link[2]} rel="noopener noreferrer">{link[1]}</a> : part;
  });
}

export function Words({ content, mode = "markdown" }: { content: string; mode?: string }) {
  if (mode !== "markdown") return <div class="viz-text" dir="auto"><pre>{content}</pre></div>;
  const blocks = content.trim().split(/\n\s*\n/);
  return (
    <div class="viz-text" dir="auto" tabIndex={0}>
      {blocks.map((block, i) => {
        const lines = block.split("\n");
        // Headings of the text stand below the panel's own title.
        if (/^#{1,6} /.test(block)) return <h4 key={i}>{spans(block.replace(/^#+ /, ""))}</h4>;
        if (lines.every((l) => /^\s*[-*] /.test(l))) return <ul key={i}>{lines.map((l, n) => <li key={n}>{spans(l.replace(/^\s*[-*] /, ""))}</li>)}</ul>;
        return <p key={i}>{spans(lines.join(" "))}</p>;
      })}
    </div>
  );
}
