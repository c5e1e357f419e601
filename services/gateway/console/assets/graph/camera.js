// Where the graph is looked at from: screen = world × k + (x, y).
export const CLOSEST = 2.2;
export const FARTHEST = 0.02;

export class Camera {
  constructor() { this.x = 0; this.y = 0; this.k = 1; }

  toScreen(box) {
    return { x: box.x * this.k + this.x, y: box.y * this.k + this.y, width: box.width * this.k, height: box.height * this.k };
  }

  toWorld(x, y) { return { x: (x - this.x) / this.k, y: (y - this.y) / this.k }; }

  zoomAt(factor, x, y) {
    const k = clamp(this.k * factor, FARTHEST, CLOSEST);
    this.x = x - (x - this.x) * (k / this.k);
    this.y = y - (y - this.y) * (k / this.k);
    this.k = k;
  }

  pan(dx, dy) { this.x += dx; this.y += dy; }

  /** Show the box whole; small ones are not blown up. */
  fit(box, width, height, margin = 32) {
    const k = clamp(Math.min((width - 2 * margin) / Math.max(box.width, 1), (height - 2 * margin) / Math.max(box.height, 1), 1), FARTHEST, CLOSEST);
    this.k = k;
    this.x = (width - box.width * k) / 2 - box.x * k;
    this.y = (height - box.height * k) / 2 - box.y * k;
  }

  centre(box, width, height) {
    this.x = width / 2 - (box.x + box.width / 2) * this.k;
    this.y = height / 2 - (box.y + box.height / 2) * this.k;
  }
}

const clamp = (value, least, most) => Math.min(most, Math.max(least, value));
