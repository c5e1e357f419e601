// Pause, resume, cancel and retry of one execution, as buttons and as calls.
import { html, useState } from "../lib/html.js";
import { executionPath, may, post } from "../lib/api.js";
import { go, link } from "../lib/router.js";
import { controlsFor } from "../model/status.js";
import { Button } from "../components/basics.js";
import { confirm } from "../components/dialog.js";
import { say } from "../components/toasts.js";

/** Asks for it; true when the gateway agreed. */
export async function control(id, verb, body = {}) {
  try {
    return await post(`${executionPath(id)}/${verb}`, body);
  } catch (problem) {
    say(problem.message, { kind: "failed" });
    return null;
  }
}

export async function cancel(id) {
  const reason = await confirm({
    title: "Cancel this execution?", action: "Cancel the execution", kind: "danger", reason: true,
    text: "Running steps are interrupted, everything that has not begun never will. It can be retried later.",
  });
  if (reason === null) return null;
  return control(id, "cancel", reason ? { reason } : {});
}

/** Starts a new execution that keeps the finished steps, and goes there. */
export async function retry(id, fromNode) {
  const answer = await control(id, "retry", fromNode ? { fromNode } : {});
  if (answer) {
    say(fromNode ? `Retrying from ${fromNode}` : "Retrying", { action: { label: "The one before", href: link(["executions", id]) } });
    go(["executions", answer.executionId]);
  }
  return answer;
}

/** What its status and this caller's role allow. */
export function allowed(execution) {
  const able = controlsFor(execution);
  return {
    pause: able.pause && may("ExecutionService/PauseExecution"), resume: able.resume && may("ExecutionService/ResumeExecution"),
    cancel: able.cancel && may("ExecutionService/CancelExecution"), retry: able.retry && may("ExecutionService/RetryExecution"),
  };
}

export function Controls({ execution, changed }) {
  const [busy, setBusy] = useState("");
  const able = allowed(execution);
  const id = execution.executionId;
  const run = (verb, action) => async () => {
    setBusy(verb);
    const answer = await action();
    setBusy("");
    if (answer) changed?.(answer);
  };
  return html`<div class="controls" role="group" aria-label="Steer this execution">
    ${able.resume && html`<${Button} icon="play" kind="primary" busy=${busy === "resume"} onClick=${run("resume", () => control(id, "resume"))}>Resume<//>`}
    ${able.pause && html`<${Button} icon="pause" busy=${busy === "pause"} onClick=${run("pause", () => control(id, "pause"))}>Pause<//>`}
    ${able.retry && html`<${Button} icon="retry" kind="primary" busy=${busy === "retry"} onClick=${run("retry", () => retry(id))}>Retry<//>`}
    ${able.cancel && html`<${Button} icon="stop" kind="quiet-danger" busy=${busy === "cancel"} onClick=${run("cancel", () => cancel(id))}>Cancel<//>`}
  </div>`;
}
