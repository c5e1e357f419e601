// What a run is given: a form from the input's schema, or JSON; and which mode it would get.
import { html, useEffect, useState } from "../lib/html.js";
import { send } from "../lib/api.js";
import { parse, stringify } from "../lib/exact-json.js";
import { go } from "../lib/router.js";
import { Trouble } from "../components/basics.js";
import { SchemaForm, initial, kindOf } from "../components/schema-form.js";

export function RunForm({ text, definition, stored, close }) {
  const schema = definition?.inputSchema;
  const fields = kindOf(schema) === "object";
  const [asText, setAsText] = useState(!fields);
  const [value, setValue] = useState(() => initial(schema) ?? {});
  const [json, setJson] = useState(() => stringify(initial(schema) ?? {}, 2));
  const [mode, setMode] = useState("auto");
  const [tags, setTags] = useState("");
  const [problem, setProblem] = useState(null);
  const [busy, setBusy] = useState(false);
  const syntax = asText ? wrongWith(json) : "";
  const body = () => {
    const workflow = stored ? `"workflowId": ${JSON.stringify(stored.id)}, "workflowVersion": ${stored.version}` : `"workflow": ${text}`;
    const words = tags.split(",").map((tag) => tag.trim()).filter(Boolean);
    return `{${workflow}, "input": ${asText ? json : stringify(value)}, "mode": ${JSON.stringify(mode)}${words.length ? `, "options": {"tags": ${JSON.stringify(words)}}` : ""}}`;
  };
  const submit = async (event) => {
    event.preventDefault();
    if (syntax) return;
    setBusy(true);
    try {
      const answer = await (await send("POST", "/api/workflow/run", { text: body(), headers: { Prefer: "respond-async" } })).json();
      close();
      go(["executions", answer.executionId]);
    } catch (error) { setProblem(error); setBusy(false); }
  };
  const swap = () => {
    if (asText) { if (syntax) return; setValue(parse(json)); } else setJson(stringify(value ?? {}, 2));
    setAsText(!asText);
  };
  return html`<form class="run-form" onSubmit=${submit} novalidate>
    <div class="run-form-head"><h3>Input</h3>${fields && html`<button type="button" class="text-button" onClick=${swap}>${asText ? "as a form" : "as JSON"}</button>`}</div>
    ${asText ? html`<textarea class="mono" rows="7" aria-label="Input, JSON" spellcheck="false" value=${json} aria-invalid=${syntax ? "true" : undefined} onInput=${(event) => setJson(event.target.value)}></textarea>${syntax && html`<p class="field-error">${syntax}</p>`}`
      : html`<${SchemaForm} schema=${schema} value=${value} change=${setValue} problems=${problem?.problems ?? []} idPrefix="input" />`}
    ${problem && (asText || !problem.problems.length) && html`<${Trouble} error=${problem} />`}
    <div class="run-form-options">
      <label class="field"><span>Mode</span><select value=${mode} onChange=${(event) => setMode(event.target.value)}><option value="auto">auto</option><option value="immediate">immediate</option><option value="queued">queued</option></select></label>
      <label class="field"><span>Tags</span><input value=${tags} placeholder="by commas" onInput=${(event) => setTags(event.target.value)} /></label></div>
    <${ModeHint} body=${body} inputs=${[asText ? json : stringify(value), mode]} quiet=${Boolean(syntax)} />
    <div class="dialog-actions"><button type="submit" class="button primary" aria-busy=${busy ? "true" : undefined} disabled=${busy || Boolean(syntax)}>Run it</button></div>
  </form>`;
}

function wrongWith(json) {
  try { parse(json); return ""; } catch (error) { return `This is not JSON: ${error.message}`; }
}

function ModeHint({ body, inputs, quiet }) {
  const [text, setText] = useState("");
  useEffect(() => {
    if (quiet) return undefined;
    const abort = new AbortController();
    const timer = setTimeout(async () => {
      const answer = await send("POST", "/api/workflow/analyze", { text: body(), signal: abort.signal }).then((response) => response.json(), () => null);
      if (!abort.signal.aborted) setText(answer?.complexity?.explanation ?? "");
    }, 300);
    return () => { clearTimeout(timer); abort.abort(); };
  }, inputs);
  return html`<p class="muted small" role="status">${text}</p>`;
}
