// What was done, said once, and gone again.
import { html, signal } from "../lib/html.js";
import { Icon } from "./basics.js";

const toasts = signal([]);
let last = 0;

/** kind: "done" or "failed". action: {label, href} */
export function say(text, { kind = "done", action } = {}) {
  last += 1;
  const toast = { id: last, text, kind, action };
  toasts.value = [...toasts.value.slice(-2), toast];
  setTimeout(() => dismiss(toast.id), kind === "failed" ? 12_000 : 5_000);
}

function dismiss(id) { toasts.value = toasts.value.filter((toast) => toast.id !== id); }

export function Toasts() {
  return html`<div class="toasts" role="status" aria-live="polite">${toasts.value.map((toast) => html`
    <div class="toast ${toast.kind}" key=${toast.id}>
      <span>${toast.text}</span>
      ${toast.action && html`<a href=${toast.action.href}>${toast.action.label}</a>`}
      <button type="button" aria-label="Dismiss" onClick=${() => dismiss(toast.id)}><${Icon} name="close" /></button>
    </div>`)}</div>`;
}
