// How nodes and edges look at each distance.
import { GLYPHS } from "../model/status.js";

const FONT = "system-ui, -apple-system, 'Segoe UI', sans-serif";
const glyphs = Object.fromEntries(Object.entries(GLYPHS).map(([word, path]) => [word, new Path2D(path)]));
const CELL = 9;
const LOUD = new Set(["running", "waiting", "paused", "failed"]);

export const CARD = { width: 174, height: 48 };
export const CLOSED = { width: 184, height: 60 };
export const HEADER = 52;

const clipped = new Map();

/** The text, shortened to a width; remembered, since measuring is slow. */
function fitted(context, text, width) {
  const key = `${context.font}|${Math.round(width)}|${text}`;
  const known = clipped.get(key);
  if (known !== undefined) return known;
  let shown = text;
  if (context.measureText(text).width > width) {
    let [low, high] = [0, text.length];
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if (context.measureText(`${text.slice(0, middle)}…`).width <= width) low = middle;
      else high = middle - 1;
    }
    shown = low ? `${text.slice(0, low).trimEnd()}…` : "";
  }
  if (clipped.size > 5000) clipped.clear();
  clipped.set(key, shown);
  return shown;
}

/** look: {status, title, subtitle, note, dim, container, open, cells, count}; turn: of the running arc, 0 to 1. */
export function paintNode(context, box, look, palette, k, { selected, hovered, turn }) {
  const colours = palette[look.status];
  context.globalAlpha = look.dim ? 0.18 : 1;
  if (look.open) paintHeader(context, box, look, palette, k);
  else if (k < 0.24) paintBlock(context, box, look, colours);
  else paintCard(context, box, look, palette, colours, k, turn);
  if (selected || hovered) {
    context.strokeStyle = selected ? palette.focus : palette.muted;
    context.lineWidth = (selected ? 2.5 : 1) / Math.min(1, Math.max(k, 0.3));
    outline(context, box, 3 / Math.max(k, 0.5), 10);
  }
  context.globalAlpha = 1;
}

function outline(context, box, by, radius) {
  context.beginPath();
  context.roundRect(box.x - by, box.y - by, box.width + 2 * by, box.height + 2 * by, radius);
  context.stroke();
}

function paintBlock(context, box, look, colours) {
  // From afar, what is over and well steps back.
  context.fillStyle = LOUD.has(look.status) ? colours.ink : colours.edge;
  context.beginPath();
  context.roundRect(box.x, box.y, box.width, box.height, 8);
  context.fill();
}

function paintCard(context, box, look, palette, colours, k, turn) {
  const { x, y, width, height } = box;
  if (look.container) {
    context.fillStyle = palette.card;
    context.strokeStyle = colours.edge;
    context.lineWidth = 1;
    for (const by of [6, 3]) {
      context.beginPath();
      context.roundRect(x + by, y + by, width - by, height - by, 8);
      context.fill();
      context.stroke();
    }
  }
  const [w, h] = look.container ? [width - 6, height - 6] : [width, height];
  context.fillStyle = palette.card;
  context.beginPath();
  context.roundRect(x, y, w, h, 8);
  context.fill();
  context.fillStyle = colours.tint;
  context.fill();
  context.strokeStyle = colours.edge;
  context.lineWidth = look.status === "running" ? 1.6 : 1.1;
  if (look.status === "skipped") context.setLineDash([4, 3]);
  context.stroke();
  context.setLineDash([]);

  glyph(context, look.status, x + 18, y + (look.container ? 22 : h / 2), colours.ink, turn);
  const far = k < 0.5;
  const left = x + 34;
  const noteWidth = far ? 0 : paintNote(context, look, palette, x + w - 10, y + 18);
  context.textAlign = "left";
  context.fillStyle = look.status === "skipped" || look.status === "cancelled" ? palette.muted : palette.ink;
  if (far) {
    context.font = `600 20px ${FONT}`;
    context.fillText(fitted(context, look.title, w - 44), left, y + (look.container ? 30 : h / 2 + 7));
  } else {
    context.font = `600 12.5px ${FONT}`;
    context.fillText(fitted(context, look.title, w - 44 - noteWidth), left, y + 20);
    context.fillStyle = look.subtitleStrong ? colours.ink : palette.muted;
    context.font = `11px ${FONT}`;
    context.fillText(fitted(context, look.subtitle, w - 44 - (look.container ? 26 : 0)), left, y + 36);
  }
  if (look.container) {
    paintCells(context, look, palette, x + 12, y + h - 12, w - 24, 5);
    paintButton(context, x + w - 18, y + 32, palette, "+");
  }
}

function paintNote(context, look, palette, right, y) {
  if (!look.note) return 0;
  context.font = `11px ${FONT}`;
  context.fillStyle = palette.muted;
  context.textAlign = "right";
  context.fillText(look.note, right, y + 2);
  return context.measureText(look.note).width + 8;
}

function glyph(context, status, x, y, colour, turn) {
  context.save();
  context.translate(x - 8, y - 8);
  context.strokeStyle = colour;
  context.lineWidth = 1.7;
  context.lineCap = context.lineJoin = "round";
  if (status === "running") {
    context.globalAlpha *= 0.28;
    context.beginPath();
    context.arc(8, 8, 6, 0, Math.PI * 2);
    context.stroke();
    context.globalAlpha /= 0.28;
    context.beginPath();
    context.arc(8, 8, 6, turn * Math.PI * 2, turn * Math.PI * 2 + 1.9);
    context.stroke();
  } else {
    context.stroke(glyphs[status]);
  }
  context.restore();
}

function paintButton(context, x, y, palette, sign) {
  context.strokeStyle = palette.muted;
  context.lineWidth = 1.2;
  context.beginPath();
  context.roundRect(x - 8, y - 8, 16, 16, 4);
  context.moveTo(x - 4, y);
  context.lineTo(x + 4, y);
  if (sign === "+") { context.moveTo(x, y - 4); context.lineTo(x, y + 4); }
  context.stroke();
}

/** A strip of iterations: a cell each, or shares where there are too many. */
function paintCells(context, look, palette, x, y, width, height, current = -1) {
  const total = Math.max(look.count ?? 0, look.cells.length);
  if (total < 2) return;
  if (total * CELL <= width) {
    const step = Math.min(22, width / total);
    for (let index = 0; index < total; index += 1) {
      context.fillStyle = colourOf(palette, look.cells[index]);
      context.fillRect(x + index * step, y, step - 2, height);
      if (index === current) context.fillRect(x + index * step, y + height + 1.5, step - 2, 1.5);
    }
    return;
  }
  let from = x;
  const counts = {};
  for (const status of look.cells) counts[status ?? "pending"] = (counts[status ?? "pending"] ?? 0) + 1;
  counts.pending = total - look.cells.length + (counts.pending ?? 0);
  for (const status of ["completed", "failed", "cancelled", "running", "waiting", "pending"]) {
    const share = ((counts[status] ?? 0) / total) * width;
    if (share <= 0) continue;
    context.fillStyle = colourOf(palette, status);
    context.fillRect(from, y, Math.max(share - 1, 1), height);
    from += share;
  }
}

const colourOf = (palette, status) => (!status || status === "pending" ? palette.line : LOUD.has(status) ? palette[status].ink : palette[status].edge);

/** The upper edge of an open container: name, iteration, cells, and what can be pressed. */
function paintHeader(context, box, look, palette, k) {
  const colours = palette[look.status];
  const { x, y, width } = box;
  context.save();
  context.beginPath();
  context.roundRect(x, y, width, HEADER - 6, [10, 10, 0, 0]);
  context.fillStyle = palette.card;
  context.fill();
  context.fillStyle = colours.tint;
  context.fill();
  context.restore();
  if (k < 0.24) return;
  glyph(context, look.status, x + 18, y + 17, colours.ink, 0);
  context.textAlign = "left";
  context.font = `600 12.5px ${FONT}`;
  context.fillStyle = palette.ink;
  const text = look.iterationText ?? "";
  context.fillText(fitted(context, look.title, width - 190), x + 34, y + 21);
  context.font = `11px ${FONT}`;
  context.fillStyle = palette.muted;
  if (text) {
    context.textAlign = "center";
    context.fillText(fitted(context, text, 90), x + width - 96, y + 21);
    for (const [place, sign] of [[x + width - 148, "‹"], [x + width - 44, "›"]]) {
      context.font = `15px ${FONT}`;
      context.fillText(sign, place, y + 22);
    }
  }
  paintButton(context, x + width - 18, y + 17, palette, "−");
  paintCells(context, look, palette, x + 34, y + 32, width - 52, 5, look.current);
}

/** What of an open container's header is at a place inside its box: "previous", "next", "close", a cell's index. */
export function headerPart(box, look, x, y) {
  if (y > HEADER - 6) return null;
  if (y > 26) {
    const total = Math.max(look.count ?? 0, look.cells.length);
    const width = box.width - 52;
    if (total < 2 || x < 34 || x > 34 + width) return null;
    const step = total * CELL <= width ? Math.min(22, width / total) : width / total;
    const index = Math.floor((x - 34) / step);
    return index < total ? index : null;
  }
  if (x > box.width - 30) return "close";
  if (x > box.width - 60 && look.iterationText) return "next";
  if (x > box.width - 164 && x < box.width - 130 && look.iterationText) return "previous";
  return null;
}

export function paintFrame(context, box, look, palette) {
  const colours = palette[look.status];
  context.globalAlpha = look.dim ? 0.3 : 1;
  context.fillStyle = palette.card;
  context.beginPath();
  context.roundRect(box.x, box.y, box.width, box.height, 10);
  context.globalAlpha *= 0.55;
  context.fill();
  context.globalAlpha = look.dim ? 0.3 : 1;
  context.strokeStyle = colours.edge;
  context.lineWidth = 1.2;
  context.stroke();
  context.globalAlpha = 1;
}

/** state: "open", "taken" or "not". faint: 0 to 1, for the crowd from afar. */
export function paintEdge(context, edge, state, palette, k, dim, faint) {
  const { points } = edge;
  context.globalAlpha = dim ? 0.12 : (state === "not" ? 0.55 : 1) * faint;
  context.strokeStyle = state === "taken" ? palette["edge-taken"] : palette.edge;
  context.lineWidth = (state === "taken" ? 1.7 : 1.2) * (k < 0.3 ? Math.min(2.2, 0.45 / k) : 1);
  if (state === "not" && k > 0.3) context.setLineDash([4, 4]);
  context.beginPath();
  context.moveTo(points[0].x, points[0].y);
  if (points.length === 2) {
    if (edge.label) swing(context, points[0], edge.label);
    swing(context, edge.label ?? points[0], points[1]);
  } else {
    for (let at = 1; at < points.length - 1; at += 1) {
      const next = at === points.length - 2 ? points[at + 1] : middle(points[at], points[at + 1]);
      context.quadraticCurveTo(points[at].x, points[at].y, next.x, next.y);
    }
  }
  context.stroke();
  context.setLineDash([]);
  if (k >= 0.5) {
    const end = points.at(-1);
    context.fillStyle = context.strokeStyle;
    context.beginPath();
    context.moveTo(end.x, end.y);
    context.lineTo(end.x - 6, end.y - 3.6);
    context.lineTo(end.x - 6, end.y + 3.6);
    context.fill();
    if (edge.handle) paintHandle(context, edge, palette);
  }
  context.globalAlpha = 1;
}

/** A curve that leaves and arrives level. */
function swing(context, from, to) {
  const reach = Math.max(Math.min(24, Math.abs(to.x - from.x)), Math.min(120, Math.abs(to.x - from.x) * 0.5));
  context.bezierCurveTo(from.x + reach, from.y, to.x - reach, to.y, to.x, to.y);
}

/** The name of the way out, halfway to where edges of the same node have parted. */
function paintHandle(context, edge, palette) {
  const place = edge.label ?? middle(edge.points[0], edge.points[1]);
  context.font = `10.5px ${FONT}`;
  context.textAlign = "center";
  const text = fitted(context, edge.handle, 60);
  const width = context.measureText(text).width + 6;
  context.fillStyle = palette.paper;
  context.fillRect(place.x - width / 2, place.y - 7, width, 14);
  context.fillStyle = palette.muted;
  context.fillText(text, place.x, place.y + 3.5);
}

const middle = (a, b) => ({ x: (a.x + b.x) / 2, y: (a.y + b.y) / 2 });
