// Modal questions, on the browser's own dialog: it keeps the focus and closes on Escape.
import { html, signal, useEffect, useRef } from "../lib/html.js";
import { Button } from "./basics.js";

const asked = signal(null);

/** Opens a dialog; `body` is a component that gets {close}. */
export function openDialog(title, body, { wide = false } = {}) { asked.value = { title, body, wide }; }

/** A question with yes and no; the reason is "" where none was given, null when it was called off. */
export function confirm({ title, text, action, kind = "primary", reason = false }) {
  return new Promise((resolve) => {
    const Body = ({ close }) => {
      const field = useRef(null);
      const done = (value) => { resolve(value); close(); };
      useEffect(() => () => resolve(null), []);
      return html`<form method="dialog" onSubmit=${(event) => { event.preventDefault(); done(field.current?.value ?? ""); }}>
        <div class="dialog-text">${text}</div>
        ${reason && html`<label class="field"><span>Reason, for the history (optional)</span><input ref=${field} maxlength="2000" /></label>`}
        <div class="dialog-actions">
          <${Button} onClick=${() => done(null)}>Keep as it is<//>
          <button class="button ${kind}" type="submit">${action}</button>
        </div></form>`;
    };
    openDialog(title, Body);
  });
}

export function Dialogs() {
  const ref = useRef(null);
  const current = asked.value;
  useEffect(() => {
    if (!current || ref.current.open) return;
    ref.current.showModal();
    ref.current.querySelector("form input, form select, form textarea, form button")?.focus();
  }, [current]);
  if (!current) return null;
  const close = () => { ref.current?.close(); asked.value = null; };
  return html`<dialog ref=${ref} class=${current.wide ? "wide" : ""} aria-labelledby="dialog-title" onClose=${close}
    onClick=${(event) => { if (event.target === ref.current) close(); }}>
    <div class="dialog-body">
      <header><h2 id="dialog-title">${current.title}</h2><${Button} icon="close" label="Close" onClick=${close} /></header>
      <${current.body} close=${close} />
    </div></dialog>`;
}
