// The small things every page is made of.
import { html, names, useEffect, useRef, useState } from "../lib/html.js";
import { GLYPHS } from "../model/status.js";

export function Glyph({ status }) {
  return html`<svg class=${names("glyph", status)} viewBox="0 0 16 16" aria-hidden="true"><path d=${GLYPHS[status] ?? GLYPHS.pending} /></svg>`;
}

export function Status({ status, quiet }) {
  return html`<span class=${names("status", status, { quiet })} data-status=${status}><${Glyph} status=${status} />${status}</span>`;
}

const ICONS = {
  executions: "M3 4.5h3M3 8h3M3 11.5h3M8.5 4.5H13M8.5 8H13M8.5 11.5H13",
  inbox: "M2.5 9.5l2-6h7l2 6v3.5h-11zM2.5 9.5h3l1 1.7h3l1-1.7h3",
  workflows: "M2.5 3h4v3.5h-4zM9.5 9.5h4V13h-4zM4.5 6.5v5h5",
  nodes: "M8 2.2l5 2.9v5.8l-5 2.9-5-2.9V5.1zM3 5.1l5 2.9 5-2.9M8 8v5.8",
  stats: "M3 13V8.5M6.3 13V4M9.7 13V7M13 13V2.8",
  workers: "M3 3h10v4H3zM3 9h10v4H3zM5.3 5h.01M5.3 11h.01",
  key: "M10 2.800a3.2 3.2 0 1 1 0 6.4 3.2 3.2 0 1 1 0-6.400M7.7 8.300L2.8 13.200M4.6 11.400l1.6 1.6",
  schedules: "M8 2.5a5.5 5.5 0 1 0 0 11 5.5 5.5 0 1 0 0-11M8 5v3.2l2.2 1.6",
  search: "M7 2.8a4.2 4.2 0 1 0 0 8.4 4.2 4.2 0 1 0 0-8.4M10.2 10.2l3.3 3.3",
  close: "M4 4l8 8M12 4l-8 8", plus: "M8 3.5v9M3.5 8h9", minus: "M3.5 8h9", back: "M9.5 3.5L5 8l4.5 4.5",
  next: "M6.5 3.5L11 8l-4.5 4.5", down: "M4 6l4 4 4-4", fit: "M3 6V3h3M10 3h3v3M13 10v3h-3M6 13H3v-3",
  copy: "M6 5.5h7v7.5H6zM10 5.5V3H3v7.5h3", link: "M7 9l2-2M6 11.5l-1 1a2.5 2.5 0 0 1-3.5-3.5l2.5-2.5a2.5 2.5 0 0 1 3.5 0M10 4.5l1-1a2.5 2.5 0 0 1 3.5 3.5L12 9.500a2.5 2.5 0 0 1-3.5 0",
  play: "M5 3.2v9.6l8-4.8z", pause: "M5.5 3.5v9M10.5 3.5v9", stop: "M4 4h8v8H4z", retry: "M12.8 8a4.8 4.8 0 1 1-1.5-3.500M12.8 2.500v2.700h-2.7",
  sun: "M8 5.2a2.8 2.8 0 1 0 0 5.6 2.8 2.8 0 1 0 0-5.600M8 1.500v1.400M8 13.100v1.400M1.5 8h1.400M13.1 8h1.400M3.4 3.400l1 1M11.6 11.600l1 1M3.4 12.600l1-1M11.6 4.400l1-1",
  moon: "M13 9.500A5.5 5.5 0 1 1 6.5 3 4.5 4.5 0 0 0 13 9.500z", auto: "M8 2.500v11a5.5 5.5 0 1 0 0-11zM8 2.500a5.5 5.5 0 0 1 0 11", clock: "M8 2.500a5.5 5.5 0 1 0 0 11 5.5 5.5 0 1 0 0-11M8 5v3.200l2.2 1.6",
  external: "M6 3.500H3.500v9h9V10M9 3h4v4M13 3L7.5 8.5", more: "M3.5 8h.01M8 8h.01M12.5 8h.01", filter: "M2.5 3.500h11L9.5 8.500V13l-3-1.500v-3z",
};

export function Icon({ name }) {
  return html`<svg class="icon" viewBox="0 0 16 16" aria-hidden="true"><path d=${ICONS[name]} /></svg>`;
}

/** kind: "primary", "danger" or none. */
export function Button({ icon, kind, label, busy, children, ...rest }) {
  return html`<button type="button" class=${names("button", kind, { bare: !children })} aria-label=${children ? undefined : label}
    title=${label} aria-busy=${busy ? "true" : undefined} ...${rest} disabled=${rest.disabled || busy}>
    ${icon && html`<${Icon} name=${icon} />`}${children}</button>`;
}

/** Grey bars in the shape of what will come. */
export function Skeleton({ rows = 5, height = 18 }) {
  return html`<div class="skeleton" aria-hidden="true">${Array.from({ length: rows }, (_, index) =>
    html`<div key=${index} style=${{ height: `${height}px`, width: `${94 - ((index * 37) % 42)}%` }}></div>`)}</div>`;
}

export function Empty({ title, children }) {
  return html`<div class="empty"><p class="empty-title">${title}</p>${children}</div>`;
}

/** A refusal, in the words it came with. */
export function Trouble({ error, retry }) {
  if (!error) return null;
  return html`<div class="trouble" role="alert">
    <p><${Glyph} status="failed" /> ${error.message}</p>
    ${error.problems?.length > 0 && html`<ul>${error.problems.map((problem) =>
      html`<li key=${problem.path + problem.code}><code>${problem.path || "/"}</code> ${problem.message}${problem.hint ? ` (${problem.hint})` : ""}</li>`)}</ul>`}
    ${error.requestId && html`<p class="muted small">request ${error.requestId}</p>`}
    ${retry && html`<${Button} onClick=${retry}>Try again<//>`}
  </div>`;
}

/** tabs: [[key, label, count?]] */
export function Tabs({ tabs, current, choose, label }) {
  const move = (event) => {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!step) return;
    event.preventDefault();
    const at = tabs.findIndex(([key]) => key === current);
    const next = tabs[(at + step + tabs.length) % tabs.length][0];
    choose(next);
    event.currentTarget.querySelector(`[data-tab="${next}"]`)?.focus();
  };
  return html`<div class="tabs" role="tablist" aria-label=${label} onKeyDown=${move}>${tabs.map(([key, text, count]) => html`
    <button type="button" role="tab" key=${key} data-tab=${key} aria-selected=${String(key === current)} tabIndex=${key === current ? 0 : -1}
      onClick=${() => choose(key)}>${text}${count !== undefined && html` <span class="count">${count}</span>`}</button>`)}</div>`;
}

/** A field whose text is taken over when its writer pauses. What is being written is never overwritten. */
export function FilterField({ value, take, label, icon, ...rest }) {
  const [text, setText] = useState(value);
  const timer = useRef(0);
  const given = useRef(value);
  // What comes back of our own must not take the place of what was typed since.
  useEffect(() => { if (value !== given.current) setText(given.current = value); }, [value]);
  useEffect(() => () => clearTimeout(timer.current), []);
  const give = (written) => { clearTimeout(timer.current); take(given.current = written.trim()); };
  const later = (event) => {
    const written = event.target.value;
    setText(written);
    clearTimeout(timer.current);
    timer.current = setTimeout(() => give(written), 400);
  };
  const now = (event) => { if (event.key === "Enter") give(event.target.value); };
  return html`<label class=${icon ? "input-icon" : ""}>${icon && html`<${Icon} name=${icon} />`}<span class="hidden">${label}</span>
    <input value=${text} spellcheck="false" onInput=${later} onKeyDown=${now} ...${rest} /></label>`;
}

export const short = (id) => (id.length > 18 ? `…${id.slice(-8)}` : id);
