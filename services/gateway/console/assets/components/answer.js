// Answering a step that waits: yes or no, a form, or what an outside system has to do.
import { html, useState } from "../lib/html.js";
import { executionPath, may, post, query } from "../lib/api.js";
import { Time } from "../lib/time.js";
import { Button, Trouble } from "./basics.js";
import { SchemaForm, initial } from "./schema-form.js";
import { say } from "./toasts.js";

/** step: with `waiting`. done(): the engine took the answer. */
export function Answer({ executionId, step, done, idPrefix = "answer" }) {
  const { waiting } = step;
  if (waiting.kind === "callback") {
    return html`<p class="muted">An outside system reports back at the address it was given${waiting.until ? html`, until <${Time} at=${waiting.until} />` : ""}.</p>`;
  }
  if (waiting.kind !== "person") return null;
  if (step.answered) return html`<p class="muted">Answered. The answer acts when the execution goes on.</p>`;
  const props = { executionId, step, done, idPrefix };
  return html`<div class="answer">
    <p class="answer-title">${waiting.title}</p>
    ${waiting.description && html`<p class="answer-text">${waiting.description}</p>`}
    <p class="muted small">${waiting.assignee ? html`Asked of <b>${waiting.assignee}</b>. ` : ""}${waiting.until ? html`Times out <${Time} at=${waiting.until} />.` : ""}</p>
    ${!may("ExecutionService/SubmitInput") ? html`<p class="muted">Your role may look at this, not answer it.</p>` : isApproval(waiting.schema) ? html`<${Approval} ...${props} />` : html`<${Form} ...${props} />`}
  </div>`;
}

const isApproval = (schema) => {
  const names = Object.keys(schema?.properties ?? {});
  return schema?.properties?.approved?.type === "boolean" && names.every((name) => ["approved", "comment"].includes(name));
};

function useAnswer({ executionId, step, done }) {
  const [problem, setProblem] = useState(null);
  const [busy, setBusy] = useState("");
  const send = async (body, word) => {
    setBusy(word);
    try {
      await post(`${executionPath(executionId)}/input/${encodeURIComponent(step.nodeId)}${query({ iteration: step.iteration?.length ? step.iteration.join(",") : "" })}`, body);
      setProblem(null);
      say(word);
      done?.();
    } catch (error) { setProblem(error); }
    setBusy("");
  };
  return { problem, busy, send };
}

function Approval(props) {
  const { problem, busy, send } = useAnswer(props);
  const [comment, setComment] = useState("");
  const body = (approved) => ({ approved, ...(comment ? { comment } : {}) });
  const id = `${props.idPrefix}-comment`;
  const wrong = problem?.problems?.find((one) => one.path === "/comment");
  return html`
    <div class="field"><label for=${id}>Comment <span class="muted small">optional</span></label>
      <textarea id=${id} rows="2" value=${comment} aria-invalid=${wrong ? "true" : undefined} onInput=${(event) => setComment(event.target.value)}></textarea>
      ${wrong && html`<p class="field-error" role="alert">${wrong.message}</p>`}</div>
    ${problem && !wrong && html`<${Trouble} error=${problem} />`}
    <div class="actions">
      <${Button} kind="primary" busy=${busy === "Approved"} onClick=${() => send(body(true), "Approved")}>Approve<//>
      <${Button} busy=${busy === "Rejected"} onClick=${() => send(body(false), "Rejected")}>Reject<//>
    </div>`;
}

function Form(props) {
  const { schema } = props.step.waiting;
  const { problem, busy, send } = useAnswer(props);
  const [value, setValue] = useState(() => initial(schema));
  const placed = problem?.problems ?? [];
  const submit = (event) => { event.preventDefault(); send(value === undefined ? null : value, "Answered"); };
  return html`<form onSubmit=${submit} novalidate>
    <${SchemaForm} schema=${schema} value=${value} change=${setValue} problems=${placed} idPrefix=${props.idPrefix} />
    ${problem && !placed.length && html`<${Trouble} error=${problem} />`}
    <div class="actions"><button type="submit" class="button primary" aria-busy=${busy ? "true" : undefined} disabled=${Boolean(busy)}>Send the answer</button></div>
  </form>`;
}
