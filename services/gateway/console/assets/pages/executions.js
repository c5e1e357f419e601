// Every run: is anything wrong, what is going on, and why does something not move?
import { html, names, useEffect, useRef, useState } from "../lib/html.js";
import { get, post, query } from "../lib/api.js";
import { usePolled } from "../lib/live.js";
import { Link, go, refine, route } from "../lib/router.js";
import { Duration, Time } from "../lib/time.js";
import { STATUSES } from "../model/status.js";
import { Button, Empty, FilterField, Glyph, Skeleton, Status, Trouble, short } from "../components/basics.js";
import { confirm } from "../components/dialog.js";
import { say } from "../components/toasts.js";
import { peopleCount } from "../model/tasks.js";
import { allowed } from "./controls.js";

const PAGE = 50;
const POLL_MS = 15_000; // beside the stream of changes
const CHANGES_MS = 400;

export function filterOf(values) {
  const several = (name) => values.get(name)?.split(",").filter(Boolean) ?? [];
  return {
    status: several("status"), workflowId: values.get("workflow") ?? "", tag: several("tag"), mode: values.get("mode") ?? "",
    createdAfter: values.get("after") ?? "", createdBefore: values.get("before") ?? "", errorText: values.get("error") ?? "",
  };
}

export function ExecutionsPage() {
  const filter = filterOf(route.value.query);
  const key = JSON.stringify(filter);
  const [older, setOlder] = useState({ key, pages: [], token: undefined });
  const [chosen, setChosen] = useState(new Set());
  const live = usePolled((signal) => get(`/api/workflow/executions${query({ ...filter, limit: PAGE })}`, { signal }), [key], POLL_MS, { changesMs: CHANGES_MS });
  useEffect(() => { setOlder({ key, pages: [], token: undefined }); setChosen(new Set()); }, [key]);

  const first = live.value?.executions ?? [];
  const known = new Set(first.map((one) => one.executionId));
  const rows = [...first, ...older.pages.flat().filter((one) => !known.has(one.executionId))];
  const next = older.pages.length ? older.token : live.value?.nextPageToken;
  const more = async () => {
    const page = await get(`/api/workflow/executions${query({ ...filter, limit: PAGE, pageToken: next })}`).catch((error) => say(error.message, { kind: "failed" }));
    if (page) setOlder({ key, pages: [...older.pages, page.executions], token: page.nextPageToken });
  };
  const choose = (id, on) => setChosen((old) => { const all = new Set(old); if (on) all.add(id); else all.delete(id); return all; });

  return html`<div class="page">
    <header class="page-head"><h1>Executions</h1><${Attention} /></header>
    <${Filters} filter=${filter} />
    <${Bulk} rows=${rows} chosen=${chosen} setChosen=${setChosen} filter=${filter} refresh=${live.refresh} />
    <${Trouble} error=${live.error?.status ? live.error : null} retry=${live.refresh} />
    ${live.value === undefined ? html`<${Skeleton} rows=${9} height=${34} />`
      : rows.length ? html`<${Rows} rows=${rows} chosen=${chosen} choose=${choose} setChosen=${setChosen} />`
        : html`<${Nothing} filtered=${key !== JSON.stringify(filterOf(new URLSearchParams()))} />`}
    ${next && html`<div class="more"><${Button} onClick=${more}>Older executions<//></div>`}
  </div>`;
}

const countOf = (filter, signal) => get(`/api/workflow/executions/count${query(filter)}`, { signal });
const shownCount = ({ count, more }) => `${count.toLocaleString()}${more ? "+" : ""}`;

/** What wants somebody: failed lately, waiting for a person. */
function Attention() {
  const load = async (signal) => {
    const failed = await countOf({ status: "failed", createdAfter: new Date(Date.now() - 86_400_000).toISOString() }, signal);
    return { failed: shownCount(failed) };
  };
  const { value } = usePolled(load, [], POLL_MS, { changesMs: 2000 });
  if (!value) return null;
  return html`<p class="attention">
    <${Link} to=${["executions"]} query=${{ status: "failed" }} class=${value.failed === "0" ? "calm" : "failed"}><${Glyph} status="failed" /> <b>${value.failed}</b> failed in 24 h<//>
    <${Link} to=${["inbox"]} class=${peopleCount.value ? "waiting" : "calm"}><${Glyph} status="waiting" /> <b>${peopleCount.value || 0}</b> wait for a person<//>
  </p>`;
}

function Filters({ filter }) {
  const toggle = (status) => {
    const all = filter.status.includes(status) ? filter.status.filter((one) => one !== status) : [...filter.status, status];
    refine({ status: all.join(",") });
  };
  const any = filter.status.length || filter.workflowId || filter.tag.length || filter.mode || filter.createdAfter || filter.errorText;
  return html`<div class="filters" role="search" aria-label="Filter executions">
    <div class="chips" role="group" aria-label="Status">${STATUSES.map((status) => html`
      <button type="button" key=${status} class="chip" aria-pressed=${String(filter.status.includes(status))} onClick=${() => toggle(status)}>
        <${Glyph} status=${status} />${status}</button>`)}</div>
    <${FilterField} label="Workflow id" icon="search" data-search placeholder="workflow id" value=${filter.workflowId} take=${(text) => refine({ workflow: text })} />
    <div class="rare"><${FilterField} label="Tag" class="narrow" placeholder="tag" value=${filter.tag.join(",")} take=${(text) => refine({ tag: text })} /></div>
    ${(filter.status.includes("failed") || filter.errorText) && html`<${FilterField} label="Text of the error" class="narrow" placeholder="error text" value=${filter.errorText} take=${(text) => refine({ error: text })} />`}
    <label class="rare"><span class="hidden">Mode</span><select value=${filter.mode} onChange=${(event) => refine({ mode: event.target.value })}>
      <option value="">any mode</option><option value="immediate">immediate</option><option value="queued">queued</option></select></label>
    <label><span class="hidden">Created</span><select value=${sinceWord(filter.createdAfter)} onChange=${(event) => refine({ after: since(event.target.value) })}>
      <option value="">any time</option><option value="1">last hour</option><option value="24">last 24 hours</option><option value="168">last 7 days</option>
      ${sinceWord(filter.createdAfter) === "other" && html`<option value="other">since ${filter.createdAfter}</option>`}</select></label>
    ${any ? html`<button type="button" class="text-button" onClick=${() => go(["executions"])}>Clear</button>` : null}
  </div>`;
}

const since = (hours) => (hours ? new Date(Math.floor((Date.now() - hours * 3_600_000) / 60_000) * 60_000).toISOString() : "");

function sinceWord(after) {
  if (!after) return "";
  const hours = (Date.now() - Date.parse(after)) / 3_600_000;
  return ["1", "24", "168"].find((word) => Math.abs(hours - word) < Math.max(0.2, word * 0.02)) ?? "other";
}

function Rows({ rows, chosen, choose, setChosen }) {
  const all = rows.length > 0 && rows.every((row) => chosen.has(row.executionId));
  const table = useRef(null);
  useEffect(() => {
    const keys = (event) => {
      const step = { j: 1, k: -1 }[event.key];
      if (!step || event.target.closest("input, textarea, select, dialog")) return;
      const links = [...table.current.querySelectorAll("a.row-link")];
      const at = links.indexOf(document.activeElement);
      links[Math.max(0, Math.min(links.length - 1, at + step))]?.focus();
    };
    addEventListener("keydown", keys);
    return () => removeEventListener("keydown", keys);
  }, []);
  return html`<table class="rows" ref=${table}>
    <thead><tr>
      <th class="tick"><input type="checkbox" aria-label="Choose all shown" checked=${all} onChange=${(event) => setChosen(event.target.checked ? new Set(rows.map((row) => row.executionId)) : new Set())} /></th>
      <th>Status</th><th>Workflow</th><th>What it does</th><th>Mode</th><th class="right">Created</th><th class="right">Took</th>
    </tr></thead>
    <tbody>${rows.map((row) => html`<${Row} key=${row.executionId} row=${row} ticked=${chosen.has(row.executionId)} choose=${choose} />`)}</tbody>
  </table>`;
}

function Row({ row, ticked, choose }) {
  const open = (event) => {
    if (event.target.closest("a, input, button")) return;
    go(["executions", row.executionId]);
  };
  return html`<tr class=${names({ chosen: ticked })} onClick=${open} data-execution=${row.executionId}>
    <td class="tick"><input type="checkbox" aria-label="Choose ${short(row.executionId)}" checked=${ticked} onChange=${(event) => choose(row.executionId, event.target.checked)} /></td>
    <td data-label="Status"><${Status} status=${row.status} /></td>
    <td class="who"><${Link} class="row-link" to=${["executions", row.executionId]}>${row.workflowName || row.workflowId || "unnamed"}<//>
      <span class="muted small mono" title=${row.executionId}>${short(row.executionId)}</span></td>
    <td class="what"><${Doing} row=${row} /></td>
    <td><span class="muted">${row.mode}</span></td>
    <td class="right num"><${Time} at=${row.createdAt} /></td>
    <td class="right">${row.status === "pending" ? html`<span class="muted">–</span>` : html`<${Duration} start=${row.startedAt} end=${row.completedAt} />`}</td>
  </tr>`;
}

/** One line: what it is at, why it waits, or what went wrong. */
function Doing({ row }) {
  if (row.error) return html`<span class="failed-text">${row.error.nodeId ? html`<b>${row.error.nodeId}</b> ` : ""}${row.error.code}: ${row.error.message}</span>`;
  if (row.pendingControl) return html`<span>${row.pendingControl === "cancel" ? "is being cancelled" : "pauses when its running steps are done"}</span>`;
  if (row.waitingReason) return html`<span>${row.waitingReason.explanation}${row.waitingReason.until && row.waitingReason.kind !== "queued" ? html` <span class="muted">${["retry", "timer"].includes(row.waitingReason.kind) ? "" : "times out "}<${Time} at=${row.waitingReason.until} /></span>` : ""}</span>`;
  if (row.progress && row.progress.totalSteps) return html`<span class="progress"><progress max=${row.progress.totalSteps} value=${row.progress.completedSteps} aria-label="Progress"></progress> ${row.progress.completedSteps} of ${row.progress.totalSteps} steps</span>`;
  return html`<span class="muted">${row.tags.map((tag) => html`<span class="tag" key=${tag}>${tag}</span>`)}</span>`;
}

const VERBS = { pause: "Pause", resume: "Resume", cancel: "Cancel", retry: "Retry" };

/** What can be done to those that were ticked, or to all that the filter finds. */
function Bulk({ rows, chosen, setChosen, filter, refresh }) {
  const picked = rows.filter((row) => chosen.has(row.executionId));
  const able = (verb) => picked.filter((row) => allowed(row)[verb]);
  const toPicked = async (verb) => {
    const targets = able(verb);
    if (verb === "cancel" && (await confirm({ title: `Cancel ${targets.length} executions?`, action: "Cancel them", kind: "danger", text: "Running steps are interrupted." })) === null) return;
    const done = await Promise.allSettled(targets.map((row) => post(`/api/workflow/execution/${row.executionId}/${verb}`, {})));
    const failed = done.filter((one) => one.status === "rejected");
    say(`${VERBS[verb]}: ${done.length - failed.length} of ${done.length}${failed.length ? `; ${failed[0].reason.message}` : ""}`, { kind: failed.length ? "failed" : "done" });
    setChosen(new Set());
    refresh();
  };
  const matching = async (verb) => {
    const body = { filter: bulkFilter(filter) };
    const path = `/api/workflow/executions/${verb}`;
    try {
      const dry = await post(path, { ...body, dryRun: true, limit: 500 });
      const count = dry.done + dry.accepted;
      const text = html`<p><b>${count}${dry.nextPageToken ? " or more" : ""}</b> ${count === 1 ? "execution" : "executions"} that match the filter would be affected${dry.refused ? `, ${dry.refused} refused` : ""}.</p>`;
      const reason = await confirm({ title: `${VERBS[verb]} all that match?`, text, action: `${VERBS[verb]} ${count}${dry.nextPageToken ? "+" : ""}`, kind: verb === "cancel" ? "danger" : "primary", reason: verb === "cancel" || verb === "pause" });
      if (reason === null) return;
      let total = 0;
      for (let pageToken; ;) {
        const page = await post(path, { ...body, limit: 500, ...(reason ? { reason } : {}), ...(pageToken ? { pageToken } : {}) });
        total += page.done + page.accepted;
        pageToken = page.nextPageToken;
        if (!pageToken) break;
      }
      say(`${VERBS[verb]}: ${total} executions`);
      refresh();
    } catch (problem) { say(problem.message, { kind: "failed" }); }
  };
  const filtered = Object.keys(bulkFilter(filter)).length > 0 && !filter.errorText;
  const found = usePolled((signal) => countOf(filter, signal), [JSON.stringify(filter)], 30_000, { changesMs: 3000 });
  const total = found.value && html`<span class="num">${shownCount(found.value)} ${found.value.count === 1 ? "execution" : "executions"}</span>
    <a class="quiet-link" href="/api/workflow/executions/export${query({ ...filter, format: "csv" })}" download="executions.csv">export</a>`;
  return html`<div class="bulk" role="group" aria-label="Act on several">
    ${picked.length ? html`<span><b>${picked.length}</b> chosen</span>
      ${Object.keys(VERBS).map((verb) => able(verb).length > 0 && html`<${Button} key=${verb} onClick=${() => toPicked(verb)}>${VERBS[verb]} ${able(verb).length}<//>`)}
      <button type="button" class="text-button" onClick=${() => setChosen(new Set())}>Choose none</button>`
      : html`${total}${filtered && html`<span class="muted gap-left">all of them:</span>`}
      ${filtered && Object.keys(VERBS).map((verb) => html`<button type="button" class="text-button" key=${verb} onClick=${() => matching(verb)}>${VERBS[verb].toLowerCase()} …</button>`)}`}
  </div>`;
}

function bulkFilter({ status, workflowId, tag, mode, createdAfter, createdBefore }) {
  return {
    ...(status.length ? { statuses: status } : {}), ...(workflowId ? { workflowId } : {}), ...(tag.length ? { tags: tag } : {}),
    ...(mode ? { mode } : {}), ...(createdAfter ? { createdAfter } : {}), ...(createdBefore ? { createdBefore } : {}),
  };
}

function Nothing({ filtered }) {
  if (filtered) return html`<${Empty} title="Nothing matches"><p><${Link} to=${["executions"]}>Show all executions<//></p><//>`;
  const example = `curl -s ${location.origin}/api/workflow/run -H 'content-type: application/json' -d '\n  {"workflow": {"id": "hello", "nodes": [{"id": "greet", "type": "data.set",\n    "config": {"values": {"text": "Hello \${ input.name }"}}}]}, "input": {"name": "world"}}'`;
  return html`<${Empty} title="Nothing has run yet">
    <p>Start one in <${Link} to=${["workflows", "new"]}>a new workflow<//>, or from a shell:</p><pre class="code">${example}</pre><//>`;
}
