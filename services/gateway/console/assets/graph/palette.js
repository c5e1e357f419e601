// Colours of the style sheet, as the canvas needs them.
const WORDS = ["pending", "running", "waiting", "paused", "completed", "failed", "skipped", "cancelled"];

/** {paper, card, line, edge, edgeTaken, ink, muted, accent, pending: {ink, tint, edge}, …} */
export function readPalette(host) {
  const probe = document.createElement("span");
  probe.hidden = true;
  host.append(probe);
  const colour = (value) => { probe.style.color = value; return getComputedStyle(probe).color; };
  const palette = Object.fromEntries(
    ["paper", "card", "line", "edge", "edge-taken", "ink", "muted", "focus"].map((name) => [name, colour(`var(--${name})`)]));
  for (const word of WORDS) {
    palette[word] = { ink: colour(`var(--${word})`), tint: colour(`var(--${word}-tint)`), edge: colour(`var(--${word}-edge)`) };
  }
  probe.remove();
  return palette;
}
