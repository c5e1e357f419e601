// Instants and spans in words. `now` ticks once a second while the page can be seen.
import { html, signal } from "./html.js";
import { preference } from "./preferences.js";

export const now = signal(Date.now());
setInterval(() => { if (!document.hidden) now.value = Date.now(); }, 1000);
document.addEventListener("visibilitychange", () => { now.value = Date.now(); });

/** "relative" or "absolute" */
export const timeStyle = preference("times", "relative");

const clock = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" });
const day = new Intl.DateTimeFormat(undefined, { day: "numeric", month: "short" });
const dayOfYear = new Intl.DateTimeFormat(undefined, { day: "numeric", month: "short", year: "numeric" });

export const ms = (instant) => (typeof instant === "number" ? instant : Date.parse(instant));

/** "14:03:09", with the day where it is not today's. */
export function absolute(instant, reference = Date.now()) {
  const date = new Date(ms(instant));
  const today = new Date(reference);
  if (date.toDateString() === today.toDateString()) return clock.format(date);
  return `${(date.getFullYear() === today.getFullYear() ? day : dayOfYear).format(date)}, ${clock.format(date).slice(0, 5)}`;
}

/** "3 min ago", "in 2 h"; exact to the larger unit. */
export function relative(instant, reference) {
  const seconds = (reference - ms(instant)) / 1000;
  const size = Math.abs(seconds);
  if (size < 1.5) return seconds >= 0 ? "just now" : "now";
  const words = size < 60 ? `${Math.round(size)} s` : size < 3600 ? `${Math.round(size / 60)} min`
    : size < 86400 ? `${Math.round(size / 3600)} h` : `${Math.round(size / 86400)} d`;
  return seconds > 0 ? `${words} ago` : `in ${words}`;
}

/** "12 ms", "1.24 s", "2 min 5 s", "3 h 12 min" */
export function span(milliseconds) {
  if (milliseconds === undefined || milliseconds === null || Number.isNaN(milliseconds)) return "";
  if (milliseconds > 0 && milliseconds < 1) return "<1 ms";
  if (milliseconds < 1000) return `${Math.round(milliseconds)} ms`;
  const seconds = milliseconds / 1000;
  if (seconds < 60) return `${seconds < 10 ? seconds.toFixed(2) : seconds.toFixed(1)} s`;
  const units = [[86400, "d"], [3600, "h"], [60, "min"], [1, "s"]];
  const first = units.findIndex(([size]) => seconds >= size);
  const [size, name] = units[first];
  const rest = Math.floor((seconds % size) / units[first + 1][0]);
  return `${Math.floor(seconds / size)} ${name}${rest ? ` ${rest} ${units[first + 1][1]}` : ""}`;
}

/** An instant; hovering tells the other form. */
export function Time({ at }) {
  if (!at) return null;
  const full = new Date(ms(at)).toLocaleString(undefined, { dateStyle: "full", timeStyle: "long" });
  const text = timeStyle.value === "relative" ? relative(at, now.value) : absolute(at, now.value);
  return html`<time datetime=${new Date(ms(at)).toISOString()} title=${full}>${text}</time>`;
}

/** A span that grows until `end` is known; whole seconds while it grows. */
export function Duration({ start, end }) {
  if (!start) return null;
  if (end) return html`<span class="num">${span(Math.max(0, ms(end) - ms(start)))}</span>`;
  const passed = Math.max(0, now.value - ms(start));
  return html`<span class="num">${passed < 1000 ? "…" : span(Math.floor(passed / 1000) * 1000).replace(/\.0+ s$/, " s")}</span>`;
}
