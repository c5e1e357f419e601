// A definition beside its graph: written, checked while it is written, stored, and run.
import { html, names, useEffect, useMemo, useRef, useState } from "../lib/html.js";
import { get, may, query, send } from "../lib/api.js";
import { parse, stringify } from "../lib/exact-json.js";
import { Link, go, refine, route } from "../lib/router.js";
import { Time } from "../lib/time.js";
import { useChecked } from "../model/check.js";
import { graphOf } from "../model/definition.js";
import { lineOf, placeOf } from "../model/json-places.js";
import { Run } from "../model/run.js";
import { Button, Glyph, Icon, Skeleton, Trouble } from "../components/basics.js";
import { confirm, openDialog } from "../components/dialog.js";
import { JsonEditor } from "../components/json-editor.js";
import { say } from "../components/toasts.js";
import { Changes } from "./changes.js";
import { Decision } from "./decision.js";
import { GraphView } from "./run-graph.js";
import { RunForm } from "./run-form.js";
import { STARTERS } from "./starters.js";

export function WorkflowPage({ id }) {
  const version = Number(route.value.query.get("version")) || 0;
  const [stored, setStored] = useState(null);
  const [error, setError] = useState(null);
  const load = (abort) => get(`/api/workflows/${encodeURIComponent(id)}${query({ version: version || "" })}`, { signal: abort })
    .then((workflow) => { setStored(workflow); setError(null); }, (problem) => { if (problem.name !== "AbortError") setError(problem); });
  useEffect(() => {
    if (id === "new") return undefined;
    const abort = new AbortController();
    load(abort.signal);
    return () => abort.abort();
  }, [id, version]);
  if (id === "new") return html`<${Desk} key="new" stored=${null} first=${starterText()} />`;
  if (error) return html`<div class="page"><h1>Workflow</h1><${Trouble} error=${error} retry=${() => load()} /></div>`;
  if (!stored) return html`<div class="page"><${Skeleton} rows=${10} height=${22} /></div>`;
  return html`<${Desk} key=${`${stored.id}@${stored.version}@${stored.definitionHash}`} stored=${stored} first=${stringify(stored.definition, 2)} old=${Boolean(version)} changed=${load} />`;
}

function starterText() {
  const from = route.value.query.get("from");
  return stringify((STARTERS.find((one) => one.key === from) ?? STARTERS[0]).definition, 2);
}

function Desk({ stored, first, changed }) {
  const [text, setText] = useState(first);
  const [side, setSide] = useState("graph");
  const [busy, setBusy] = useState("");
  const editor = useRef(null);
  const verdict = useChecked(text);
  const dirty = text !== first;
  const definition = verdict.definition;
  const latest = useLatestVersion(stored);
  useEffect(() => { document.title = `${stored?.name || stored?.id || "New workflow"} · Flow`; }, [stored]);
  useEffect(() => {
    const leave = (event) => { if (dirty) event.preventDefault(); };
    addEventListener("beforeunload", leave);
    return () => removeEventListener("beforeunload", leave);
  }, [dirty]);

  const save = async () => {
    if (verdict.state === "syntax") return;
    setBusy("save");
    try {
      const wanted = parse(text).id;
      const fresh = !stored || stored.id !== wanted;
      const response = fresh ? await send("POST", "/api/workflows", { text })
        : await send("PUT", `/api/workflows/${encodeURIComponent(stored.id)}${query({ expectedVersion: latest })}`, { text });
      const kept = await response.json();
      say(`Stored ${kept.id} as version ${kept.version}`);
      go(["workflows", kept.id]);
      changed?.();
    } catch (problem) { say(problem.message, { kind: "failed" }); }
    setBusy("");
  };
  const run = () => openDialog("Run", ({ close }) => html`<${RunForm} text=${text} definition=${definition} stored=${dirty ? null : stored} close=${close} />`);
  const remove = async () => {
    if (await confirm({ title: `Delete ${stored.id}?`, text: "Executions of it go on and stay readable.", action: "Delete the workflow", kind: "danger" }) === null) return;
    try { await send("DELETE", `/api/workflows/${encodeURIComponent(stored.id)}`); go(["workflows"]); } catch (problem) { say(problem.message, { kind: "failed" }); }
  };
  const show = (mark) => editor.current.show(mark.start, mark.end);
  const tidy = () => { if (verdict.fresh && definition) setText(stringify(parse(text), 2)); };

  return html`<div class="run desk">
    <header class="run-head"><div class="run-title">
      <${Link} to=${["workflows"]} class="button bare" aria-label="All workflows" title="All workflows"><${Icon} name="back" /><//>
      <div class="run-name"><h1>${definition?.name || stored?.name || stored?.id || "New workflow"}</h1>
        <p class="run-facts">${stored ? html`<span class="mono">${stored.id}</span>
          <label>version <select aria-label="Version" value=${String(stored.version)} onChange=${(event) => refine({ version: Number(event.target.value) === latest ? "" : event.target.value })}>
            ${Array.from({ length: latest }, (_, index) => latest - index).map((one) => html`<option key=${one} value=${String(one)}>v${one}${one === latest ? ", latest" : ""}</option>`)}</select></label>
          <span>stored <${Time} at=${stored.updatedAt ?? stored.createdAt} /></span>
          <${Link} to=${["executions"]} query=${{ workflow: stored.id }}>Runs<//>
          ${may("WorkflowService/DeleteWorkflow") && html`<button type="button" onClick=${remove}>Delete</button>`}` : html`<span>not stored yet</span>
          <label>begin with <select aria-label="Begin with" value=${route.value.query.get("from") ?? STARTERS[0].key} onChange=${(event) => { refine({ from: event.target.value }); setText(stringify(STARTERS.find((one) => one.key === event.target.value).definition, 2)); }}>
            ${STARTERS.map((one) => html`<option key=${one.key} value=${one.key}>${one.title}</option>`)}</select></label>`}
          ${dirty && html`<span class="waiting state-text">changed</span>`}</p></div>
      <div class="controls">${may(stored ? "WorkflowService/UpdateWorkflow" : "WorkflowService/CreateWorkflow") && html`<${Button} busy=${busy === "save"} disabled=${verdict.state === "syntax" || (stored && !dirty && stored.version === latest)} onClick=${save}>${stored ? "Store as a new version" : "Store"}<//>`}
        ${may("ExecutionService/StartExecution") && html`<${Button} icon="play" kind="primary" disabled=${verdict.state !== "valid" || !verdict.fresh} onClick=${run}>Run …<//>`}</div></div>
      <${Verdict} verdict=${verdict} />
    </header>
    <div class="desk-body">
      <section class="desk-text" aria-label="Definition">
        <${JsonEditor} text=${text} change=${setText} marks=${verdict.fresh ? verdict.marks : []} label="Definition, JSON" handle=${editor} onSave=${save} />
        ${verdict.marks.length > 0 && html`<ul class="problems" aria-label="Problems">${verdict.marks.map((mark, index) => html`<li key=${index}>
          <button type="button" onClick=${() => show(mark)}><span class="num muted">line ${mark.line}</span> <span>${mark.message}${mark.hint ? html` <span class="muted">${mark.hint}</span>` : ""}</span> <code class="muted small">${mark.path}</code></button></li>`)}</ul>`}
        <div class="desk-foot"><button type="button" class="text-button" onClick=${tidy}>Tidy up</button><span class="muted small">Ctrl S stores · ${lineOf(text, text.length)} lines</span></div>
      </section>
      <section class="desk-side">
        <div class="tabs" role="group" aria-label="Beside the definition">${[["graph", "Graph"], ["mode", "Mode"], ...(stored ? [["changes", "Changes"]] : [])].map(([key, title]) => html`<button type="button" key=${key} aria-pressed=${String(side === key)} aria-selected=${undefined} class=${names({ on: side === key })} onClick=${() => setSide(key)}>${title}</button>`)}</div>
        ${side === "graph" ? html`<${Preview} definition=${definition} marks=${verdict.marks} pick=${(id) => pick(id, definition, verdict, editor)} />`
          : side === "changes" ? html`<${Changes} key=${dirty} id=${stored.id} version=${dirty ? latest : stored.version} text=${dirty && verdict.fresh && verdict.state !== "syntax" ? text : ""} />`
          : html`<div class="section-body desk-mode">${verdict.complexity ? html`<${Decision} complexity=${verdict.complexity} />` : html`<p class="muted">The mode is known once the definition is valid.</p>`}</div>`}
      </section>
    </div></div>`;
}

function useLatestVersion(stored) {
  const [latest, setLatest] = useState(stored?.version ?? 0);
  useEffect(() => {
    if (!stored) return;
    get(`/api/workflows/${encodeURIComponent(stored.id)}`).then((workflow) => setLatest(workflow.version), () => {});
  }, [stored?.id, stored?.version]);
  return Math.max(latest, stored?.version ?? 0);
}

function pick(id, definition, verdict, editor) {
  const pointer = graphOf(definition).byId.get(id)?.pointer;
  if (pointer === undefined) return;
  const place = placeOf(verdict.places, pointer, verdict.text);
  editor.current.show(place.start, verdict.places.get(pointer)?.end ?? place.end);
}

/** What is to be known about the text as it stands. */
function Verdict({ verdict }) {
  const { state, marks, complexity, error } = verdict;
  if (error) return html`<div class="now failed"><${Glyph} status="failed" /><p>${error.message}</p></div>`;
  if (state === "checking") return html`<div class="now"><p class="muted">Looking it over</p></div>`;
  if (state !== "valid") {
    return html`<div class="now failed" data-verdict=${state}><${Glyph} status="failed" /><p>${state === "syntax" ? marks[0].message : `${marks.length} ${marks.length === 1 ? "problem" : "problems"}`} <span class="muted">line ${marks[0]?.line}</span></p></div>`;
  }
  return html`<div class="now" data-verdict="valid"><${Glyph} status="completed" /><p>Valid. ${complexity ? html`Would run <b>${complexity.mode}</b>. <span class="muted">${complexity.explanation}</span>` : ""}</p></div>`;
}

const IDLE = { executionId: "", workflowName: "", status: "pending", steps: [], tags: [] };

/** The graph of a text; nodes with problems are marked, a click shows their place in the text. */
function Preview({ definition, marks, pick: choose }) {
  const kept = useRef(null);
  if (definition) kept.current = definition;
  const shown = kept.current;
  const [open, setOpen] = useState(null);
  const [selected, setSelected] = useState(null);
  const run = useMemo(() => new Run(IDLE, graphOf(shown)), [shown && structureOf(shown)]);
  const wrong = useMemo(() => {
    const found = new Map();
    for (const mark of marks) {
      for (const node of run.graph.nodes) if (`${mark.path}/`.startsWith(`${node.pointer}/`) && !found.has(node.id)) found.set(node.id, mark.message);
    }
    return found;
  }, [marks, run]);
  const containers = [...run.graph.children.keys()].filter(Boolean);
  const openNow = open ?? new Set(containers);
  const look = {
    selected: run.graph.byId.has(selected) ? selected : null, open: openNow, chosen: new Map(), path: () => [], marks: wrong,
    choose: (id) => { setSelected(id); if (id) choose(id); },
    toggle: (id) => { const next = new Set(openNow); if (!next.delete(id)) next.add(id); setOpen(next); },
    openAll: (all) => setOpen(all ? new Set(containers) : new Set()),
    iterate: () => {},
  };
  if (!shown) return html`<div class="graph-skeleton"><${Skeleton} rows=${4} height=${44} /></div>`;
  return html`<${GraphView} feed=${{ run }} look=${look} still />`;
}

/** What the drawing depends on, so that writing a config does not draw it anew. */
function structureOf(definition) {
  const graph = graphOf(definition);
  return JSON.stringify([graph.nodes.map((node) => [node.id, node.type, node.name, node.parent]), graph.edges]);
}
