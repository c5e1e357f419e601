// The graph on two canvases: frames and edges below, nodes above. A change of status repaints that node alone;
// edges follow a few times a second; a whole repaint leaves out what cannot be seen.
import { Camera } from "./camera.js";
import { gestures } from "./gestures.js";
import { HEADER, headerPart, paintEdge, paintFrame, paintNode } from "./painter.js";
import { readPalette } from "./palette.js";

const EDGES_EVERY_MS = 150;
const TURN_MS = 1400;
const MOST_TURNING = 40;

export class GraphCanvas {
  /** look(id) as in painter.js; edgeState(edge); on: {choose(id|null), open(id), header(id, part)}. */
  constructor(host, { look, edgeState, on }) {
    Object.assign(this, { host, look, edgeState, on });
    this.camera = new Camera();
    this.layout = null;
    this.selected = null;
    this.hovered = null;
    this.painted = { all: 0, nodes: 0 };
    [this.below, this.above] = ["below", "above"].map((name) => {
      const canvas = document.createElement("canvas");
      canvas.className = `graph-${name}`;
      canvas.setAttribute("aria-hidden", "true");
      host.append(canvas);
      return canvas;
    });
    this._dirty = new Set();
    this._moved = false;
    this._resizing = new ResizeObserver(() => this._resize());
    this._resizing.observe(host);
    this._end = gestures(host, {
      pan: (dx, dy) => { this._moved = true; this.camera.pan(dx, dy); this.repaint(); },
      zoom: (factor, x, y) => { this._moved = true; this.camera.zoomAt(factor, x, y); this.repaint(); },
      click: (x, y) => this._click(x, y),
      double: (x, y) => { const id = this.at(x, y); if (id) this.on.open(id); },
      hover: (x, y) => this._hover(x, y),
    });
    this.recolour();
    this._calm = matchMedia("(prefers-reduced-motion: reduce)");
  }

  destroy() {
    this._end();
    this._resizing.disconnect();
    cancelAnimationFrame(this._frame);
    clearTimeout(this._turning);
    clearTimeout(this._edgesLater);
    this._gone = true;
  }

  recolour() {
    this.palette = readPalette(this.host);
    this.repaint();
  }

  /** anchor: id of a node that should stay where it is on the screen. */
  setLayout(layout, anchor) {
    const old = anchor && this.layout?.nodes[anchor];
    const known = this.layout !== null;
    this.layout = layout;
    this.order = Object.keys(layout.nodes);
    if (old && layout.nodes[anchor]) {
      this.camera.pan((old.x - layout.nodes[anchor].x) * this.camera.k, (old.y - layout.nodes[anchor].y) * this.camera.k);
      this._moved = true;
    } else if (!known || !this._moved) {
      this.fit();
    }
    this.repaint();
  }

  fit() {
    if (!this.layout || !this.width) return;
    this._moved = false;
    this.camera.fit({ x: 0, y: 0, width: this.layout.width, height: this.layout.height }, this.width, this.height);
    // A long chain is shown from its beginning, large enough to read, rather than whole and tiny.
    if (this.camera.k < 0.42 && this.layout.width / this.layout.height > 3.2 * (this.width / this.height)) {
      this.camera.fit({ x: 0, y: 0, width: this.layout.height * (this.width / this.height), height: this.layout.height }, this.width, this.height);
      this.camera.k = Math.min(this.camera.k, 0.8);
      this.camera.x = 32;
      this.camera.y = (this.height - this.layout.height * this.camera.k) / 2;
    }
    this.repaint();
  }

  zoom(factor) {
    this._moved = true;
    this.camera.zoomAt(factor, this.width / 2, this.height / 2);
    this.repaint();
  }

  select(id) {
    if (id === this.selected) return;
    const old = this.selected;
    this.selected = id;
    this.touch([old, id]);
  }

  /** Bring a node into view, near enough to read. */
  show(id, { always = false } = {}) {
    const box = this.layout?.nodes[id];
    if (!box) return;
    const seen = this.camera.toScreen(box);
    const inside = seen.x >= 0 && seen.y >= 0 && seen.x + seen.width <= this.width && seen.y + Math.min(seen.height, HEADER) <= this.height;
    if (inside && this.camera.k > 0.4 && !always) return;
    this._moved = true;
    this.camera.k = Math.max(this.camera.k, 0.75);
    this.camera.centre({ ...box, height: Math.min(box.height, this.height / this.camera.k) }, this.width, this.height);
    this.repaint();
  }

  /** Where a node is on the screen, in CSS pixels of this element. */
  placeOf(id) {
    const box = this.layout?.nodes[id];
    return box ? this.camera.toScreen(box) : null;
  }

  /** The node at a place: the innermost. */
  at(x, y) {
    if (!this.layout) return null;
    const point = this.camera.toWorld(x, y);
    let found = null;
    let area = Infinity;
    for (const id of this.order) {
      const box = this.layout.nodes[id];
      if (point.x < box.x || point.y < box.y || point.x > box.x + box.width || point.y > box.y + box.height) continue;
      if (box.width * box.height < area) [found, area] = [id, box.width * box.height];
    }
    return found;
  }

  /** The nearest node in a direction: [dx, dy] with one of them 0. */
  neighbour(id, [dx, dy]) {
    const from = this.layout?.nodes[id];
    if (!from) return this.order?.[0] ?? null;
    let best = null;
    let least = Infinity;
    for (const other of this.order) {
      const box = this.layout.nodes[other];
      const [x, y] = [box.x + box.width / 2 - from.x - from.width / 2, box.y + box.height / 2 - from.y - from.height / 2];
      const along = x * dx + y * dy;
      const across = Math.abs(x * dy) + Math.abs(y * dx);
      if (other === id || along < 8) continue;
      const cost = along + across * 2.2;
      if (cost < least) [best, least] = [other, cost];
    }
    return best;
  }

  /** These nodes look different now. */
  touch(ids) {
    for (const id of ids) if (id && this.layout?.nodes[id]) this._dirty.add(id);
    this._schedule();
    this._edgesLater ??= setTimeout(() => { this._edgesLater = undefined; this._edgesDue = true; this._schedule(); }, EDGES_EVERY_MS);
  }

  repaint() {
    this._all = true;
    this._schedule();
  }

  _schedule() {
    if (this._frame || this._gone) return;
    this._frame = requestAnimationFrame(() => { this._frame = 0; this._paint(); });
  }

  _resize() {
    const { width, height } = this.host.getBoundingClientRect();
    if (!width || !height) return;
    const first = !this.width;
    Object.assign(this, { width, height, ratio: Math.min(2, devicePixelRatio || 1) });
    for (const canvas of [this.below, this.above]) {
      canvas.width = Math.round(width * this.ratio);
      canvas.height = Math.round(height * this.ratio);
    }
    if (first || !this._moved) this.fit();
    this._all = true;
    // At once: a canvas that was resized is empty until it is painted.
    this._paint();
  }

  _paint() {
    if (!this.layout || !this.width) return;
    const view = this._view();
    if (this._all || this._edgesDue) this._paintBelow(view);
    const context = this._context(this.above);
    if (this._all) {
      context.save();
      context.resetTransform();
      context.clearRect(0, 0, this.above.width, this.above.height);
      context.restore();
      for (const id of this.order) if (visible(this.layout.nodes[id], view)) this._paintNode(context, id);
      this.painted.all += 1;
    } else {
      for (const id of this._dirty) {
        const box = this.layout.nodes[id];
        if (!box || !visible(box, view)) continue;
        const look = this.look(id);
        const by = 5 / Math.max(this.camera.k, 0.3);
        if (look.open) context.clearRect(box.x - by, box.y - by, box.width + 2 * by, HEADER - 4 + by);
        else context.clearRect(box.x - by, box.y - by, box.width + 2 * by, box.height + 2 * by);
        this._paintNode(context, id, look);
        this.painted.nodes += 1;
      }
    }
    this._all = this._edgesDue = false;
    this._dirty.clear();
    this._keepTurning(view);
    this.on.painted?.();
  }

  _paintBelow(view) {
    const context = this._context(this.below);
    context.save();
    context.resetTransform();
    context.clearRect(0, 0, this.below.width, this.below.height);
    context.restore();
    const { k } = this.camera;
    for (const id of this.order) {
      const box = this.layout.nodes[id];
      if (box.height < 100 || !visible(box, view)) continue;
      const look = this.look(id);
      if (look.open) paintFrame(context, box, look, this.palette);
    }
    const faint = k < 0.3 ? Math.max(0.16, Math.min(0.5, 160 / this.layout.edges.length)) : 1;
    for (const edge of this.layout.edges) {
      if (!spans(edge, view)) continue;
      const dim = this.look(edge.source).dim || this.look(edge.target).dim;
      paintEdge(context, edge, this.edgeState(edge), this.palette, k, dim, faint);
    }
  }

  _paintNode(context, id, look = this.look(id)) {
    const turn = (performance.now() % TURN_MS) / TURN_MS;
    paintNode(context, this.layout.nodes[id], look, this.palette, this.camera.k,
      { selected: id === this.selected, hovered: id === this.hovered, turn });
  }

  /** Running steps that can be seen turn, a few frames a second. */
  _keepTurning(view) {
    clearTimeout(this._turning);
    if (this._calm.matches || this.camera.k < 0.4) return;
    const running = [];
    for (const id of this.order) {
      if (!visible(this.layout.nodes[id], view)) continue;
      const look = this.look(id);
      if (look.status === "running" && !look.open) running.push(id);
      if (running.length > MOST_TURNING) return;
    }
    if (running.length) this._turning = setTimeout(() => { for (const id of running) this._dirty.add(id); this._schedule(); }, 60);
  }

  _context(canvas) {
    const context = canvas.getContext("2d");
    const { x, y, k } = this.camera;
    context.setTransform(k * this.ratio, 0, 0, k * this.ratio, x * this.ratio, y * this.ratio);
    return context;
  }

  _view() {
    const from = this.camera.toWorld(0, 0);
    const to = this.camera.toWorld(this.width, this.height);
    return { x: from.x, y: from.y, right: to.x, bottom: to.y };
  }

  _click(x, y) {
    const id = this.at(x, y);
    if (!id) return this.on.choose(null);
    const box = this.layout.nodes[id];
    const point = this.camera.toWorld(x, y);
    const look = this.look(id);
    if (look.open && this.camera.k >= 0.24) {
      const part = headerPart(box, look, point.x - box.x, point.y - box.y);
      if (part !== null) return this.on.header(id, part);
    } else if (look.container && point.x > box.x + box.width - 36 && this.camera.k >= 0.4) {
      return this.on.open(id);
    }
    return this.on.choose(id);
  }

  _hover(x, y) {
    const id = x < 0 ? null : this.at(x, y);
    if (id === this.hovered) return;
    const old = this.hovered;
    this.hovered = id;
    this.host.style.cursor = id ? "pointer" : "";
    this.host.title = id ? this.look(id).title : "";
    this.touch([old, id]);
  }
}

const visible = (box, view) =>
  box.x < view.right && box.y < view.bottom && box.x + box.width > view.x && box.y + box.height > view.y;

function spans({ points }, view) {
  const [a, b] = [points[0], points.at(-1)];
  return Math.max(a.x, b.x) + 60 > view.x && Math.min(a.x, b.x) - 60 < view.right
    && Math.max(a.y, b.y) + 200 > view.y && Math.min(a.y, b.y) - 200 < view.bottom;
}
