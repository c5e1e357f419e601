// What starts stored workflows by itself: schedules by the clock, webhooks by calls from outside.
import { html, useEffect, useRef, useState } from "../lib/html.js";
import { call, get, may, post, query } from "../lib/api.js";
import { parse, stringify } from "../lib/exact-json.js";
import { usePolled } from "../lib/live.js";
import { Link, refine, route } from "../lib/router.js";
import { Time, absolute, span } from "../lib/time.js";
import { Button, Empty, Glyph, Skeleton, Tabs, Trouble } from "../components/basics.js";
import { confirm, openDialog } from "../components/dialog.js";
import { say } from "../components/toasts.js";

const VIEWS = [["schedules", "Schedules", Schedules], ["webhooks", "Webhooks", Webhooks]];
const OVERLAPS = [["", "as the definition says"], ["allow", "start beside it"], ["reject", "skip the slot"], ["use_existing", "let it answer for the slot"], ["cancel_existing", "cancel it"]];
const SLOT_GLYPHS = { due: "pending", started: "completed", skipped: "skipped", failed: "failed" };
const REFRESH_MS = 5000;
const SLOTS = 30;

export function TriggersPage() {
  const [key, , View] = VIEWS.find(([name]) => name === route.value.query.get("view")) ?? VIEWS[0];
  return html`<div class="page"><header class="page-head"><h1>Triggers</h1></header>
    <div class="page-tabs"><${Tabs} label="Kinds of triggers" tabs=${VIEWS.map(([name, title]) => [name, title])} current=${key} choose=${(view) => refine({ view })} /></div>
    <${View} key=${key} /></div>`;
}

const schedulePath = (id) => `/api/triggers/schedules/${encodeURIComponent(id)}`;
const webhookPath = (path) => `/api/triggers/webhooks/${encodeURIComponent(path)}`;

/** All of a list, a page after another. */
async function loadAll(path, name, signal) {
  const found = [];
  for (let pageToken; ;) {
    const page = await get(`${path}${query({ limit: 200, pageToken })}`, { signal });
    found.push(...page[name]);
    pageToken = page.nextPageToken;
    if (!pageToken) return found;
  }
}

async function attempt(action, done) {
  try { const answer = await action(); done(answer); return true; } catch (problem) { say(problem.message, { kind: "failed" }); return false; }
}

function Schedules() {
  const { value, error, refresh } = usePolled((signal) => loadAll("/api/triggers/schedules", "schedules", signal), [], REFRESH_MS);
  const edit = (schedule) => openDialog(schedule ? `Change ${schedule.id}` : "New schedule", ({ close }) => html`<${ScheduleForm} schedule=${schedule} close=${close} done=${refresh} />`);
  return html`<div class="bulk"><span class="muted">Each slot is started once, however many executors there are.</span><span class="spring"></span>
      ${may("TriggerService/PutSchedule") && html`<${Button} icon="plus" kind="primary" onClick=${() => edit(null)}>New schedule<//>`}</div>
    <${Trouble} error=${error?.status ? error : null} retry=${refresh} />
    ${!value ? html`<${Skeleton} rows=${5} height=${34} />` : !value.length ? html`<${Empty} title="There is no schedule"><p>A schedule starts a stored workflow at the times of a cron expression.</p><//>`
      : html`<table class="rows triggers"><thead><tr><th>Schedule</th><th>Starts</th><th>Next</th><th>Last</th><th></th></tr></thead>
        <tbody>${value.map((one) => html`<${ScheduleRow} key=${one.id} schedule=${one} edit=${edit} refresh=${refresh} />`)}</tbody></table>`}`;
}

function ScheduleRow({ schedule, edit, refresh }) {
  const { id, lastSlot } = schedule;
  const turn = () => attempt(() => post(`${schedulePath(id)}/${schedule.paused ? "resume" : "pause"}`, {}), refresh);
  const run = () => attempt(() => post(`${schedulePath(id)}/run`, {}), (slot) => { say(slot.executionId ? `Started by ${id}` : `${id}: ${slot.reason ?? slot.status}`, { kind: slot.executionId ? "done" : "failed" }); refresh(); });
  const remove = async () => {
    if (await confirm({ title: `Delete ${id}?`, text: "It starts nothing more, and what became of its slots is forgotten. Executions go on and stay.", action: "Delete the schedule", kind: "danger" }) === null) return;
    attempt(() => call("DELETE", schedulePath(id)), refresh);
  };
  const history = () => openDialog(`Slots of ${id}`, () => html`<${Slots} id=${id} />`, { wide: true });
  return html`<tr data-schedule=${id}>
    <td class="who"><b>${id}</b> ${schedule.paused && html`<span class="tag">paused</span>`}<br /><span class="muted small"><code>${schedule.cron}</code> ${schedule.timeZone}</span></td>
    <td><${Starts} trigger=${schedule} /></td>
    <td>${schedule.paused ? html`<span class="muted">when resumed</span>` : schedule.nextAt ? html`<${Time} at=${schedule.nextAt} />` : html`<span class="muted">never again</span>`}</td>
    <td>${lastSlot ? html`<${Slot} slot=${lastSlot} />` : html`<span class="muted">none yet</span>`}</td>
    <td class="right"><div class="row-actions">
      <button type="button" class="text-button" onClick=${history}>Slots</button>
      ${may("TriggerService/RunSchedule") && html`<button type="button" class="text-button" onClick=${run}>Run now</button>`}
      ${may(`TriggerService/${schedule.paused ? "Resume" : "Pause"}Schedule`) && html`<button type="button" class="text-button" onClick=${turn}>${schedule.paused ? "Resume" : "Pause"}</button>`}
      ${may("TriggerService/PutSchedule") && html`<button type="button" class="text-button" onClick=${() => edit(schedule)}>Change</button>`}
      ${may("TriggerService/DeleteSchedule") && html`<button type="button" class="text-button" onClick=${remove}>Delete</button>`}
    </div></td></tr>`;
}

function Starts({ trigger }) {
  return html`<${Link} to=${["workflows", trigger.workflowId]}>${trigger.workflowId}<//> <span class="muted small">${trigger.workflowVersion ? `v${trigger.workflowVersion}` : "latest"}${trigger.mode === "auto" ? "" : `, ${trigger.mode}`}</span>`;
}

/** What became of a slot; the execution, or why there is none. */
function Slot({ slot }) {
  const text = html`<${Glyph} status=${SLOT_GLYPHS[slot.status]} /> ${slot.status}`;
  return html`<span class="slot ${SLOT_GLYPHS[slot.status]}">${slot.executionId ? html`<${Link} class="state-text" to=${["executions", slot.executionId]}>${text}<//>` : html`<span class="state-text">${text}</span>`}</span>
    <span class="muted small"> <${Time} at=${slot.slotAt} />${slot.manual ? ", asked for" : ""}${slot.reason ? html`<br />${slot.reason}` : ""}</span>`;
}

function Slots({ id }) {
  const load = async (signal) => {
    const [one, { slots }] = await Promise.all([get(schedulePath(id), { signal }), get(`${schedulePath(id)}/slots${query({ limit: SLOTS })}`, { signal })]);
    return { next: one.nextTimes ?? [], slots, zone: one.timeZone };
  };
  const { value, error, refresh } = usePolled(load, [id], REFRESH_MS);
  if (!value) return error ? html`<${Trouble} error=${error} retry=${refresh} />` : html`<${Skeleton} rows=${6} height=${20} />`;
  return html`<${Times} times=${value.next} zone=${value.zone} />
    ${!value.slots.length ? html`<p class="muted">No slot has come yet.</p>` : html`<table class="rows plain"><thead><tr><th>Slot</th><th>Became</th></tr></thead><tbody>${value.slots.map((slot) => html`
      <tr key=${slot.slotAt}><td class="num">${absolute(slot.slotAt)}</td><td><${Slot} slot=${slot} /></td></tr>`)}</tbody></table>`}`;
}

/** Times to come, as the clock of their zone shows them. */
function Times({ times, zone }) {
  if (!times.length) return html`<p class="muted small">No time comes any more.</p>`;
  const shown = new Intl.DateTimeFormat(undefined, { timeZone: zone, weekday: "short", day: "numeric", month: "short", hour: "2-digit", minute: "2-digit", hourCycle: "h23" });
  return html`<p class="muted small">Next in ${zone}: ${times.map((time) => shown.format(new Date(time))).join("; ")}</p>`;
}

function useWorkflows() {
  const [workflows, setWorkflows] = useState([]);
  useEffect(() => {
    const abort = new AbortController();
    loadAll("/api/workflows", "workflows", abort.signal).then(setWorkflows, () => {});
    return () => abort.abort();
  }, []);
  return workflows;
}

/** Fields that schedules and webhooks share. */
function StartFields({ trigger }) {
  const workflows = useWorkflows();
  return html`<label class="field"><span>Workflow</span><input name="workflowId" list="trigger-workflows" required spellcheck="false" value=${trigger?.workflowId} placeholder="id of a stored one" /></label>
    <datalist id="trigger-workflows">${workflows.map((one) => html`<option key=${one.id} value=${one.id}>${one.name}</option>`)}</datalist>
    <div class="run-form-options"><label class="field"><span>Version</span><input name="workflowVersion" type="number" min="1" value=${trigger?.workflowVersion} placeholder="latest" /></label>
      <label class="field"><span>Mode</span><select name="mode">${["auto", "immediate", "queued"].map((mode) => html`<option key=${mode} selected=${(trigger?.mode ?? "auto") === mode}>${mode}</option>`)}</select></label></div>`;
}

/** What the shared fields say; the rest of a trigger that is changed stays as it is. */
function started(values, trigger) {
  return {
    workflowId: values.workflowId.trim(), mode: values.mode, priority: trigger?.priority, tags: trigger?.tags,
    ...(values.workflowVersion ? { workflowVersion: Number(values.workflowVersion) } : {}),
  };
}

function ScheduleForm({ schedule, close, done }) {
  const form = useRef(null);
  const [problem, setProblem] = useState(null);
  const [cron, setCron] = useState(schedule?.cron ?? "");
  const [zone, setZone] = useState(schedule?.timeZone ?? Intl.DateTimeFormat().resolvedOptions().timeZone ?? "UTC");
  const submit = async (event) => {
    event.preventDefault();
    const values = Object.fromEntries(new FormData(form.current));
    const body = { ...started(values, schedule), cron, timeZone: zone, catchUp: Number(values.catchUp), jitter: 1000 * Number(values.jitter), ...(values.overlap ? { overlap: values.overlap } : {}) };
    try {
      if (values.input.trim()) body.input = parse(values.input);
      await call("PUT", schedulePath(schedule?.id ?? values.id.trim()), { body });
      done();
      close();
    } catch (error) { setProblem(error); }
  };
  return html`<form ref=${form} onSubmit=${submit}>
    ${!schedule && html`<label class="field"><span>Id</span><input name="id" required maxlength="100" spellcheck="false" placeholder="nightly" /></label>`}
    <${StartFields} trigger=${schedule} />
    <div class="run-form-options"><label class="field"><span>Cron</span><input class="mono" required spellcheck="false" placeholder="30 2 * * MON-FRI" value=${cron} onInput=${(event) => setCron(event.target.value)} /></label>
      <label class="field"><span>Time zone</span><input list="trigger-zones" required spellcheck="false" value=${zone} onInput=${(event) => setZone(event.target.value)} /></label></div>
    <datalist id="trigger-zones">${Intl.supportedValuesOf("timeZone").map((name) => html`<option key=${name} value=${name} />`)}</datalist>
    <${Preview} cron=${cron} zone=${zone} />
    <div class="run-form-options"><label class="field"><span>Missed slots that are started</span><input name="catchUp" type="number" min="0" max="1000" required value=${schedule?.catchUp ?? 1} /></label>
      <label class="field"><span>Jitter, seconds</span><input name="jitter" type="number" min="0" max="86400" required value=${(schedule?.jitter ?? 0) / 1000} /></label></div>
    <label class="field"><span>While another one of the workflow is live</span><select name="overlap">${OVERLAPS.map(([value, text]) => html`<option key=${value} value=${value} selected=${(schedule?.overlap ?? "") === value}>${text}</option>`)}</select></label>
    <label class="field"><span>Input, JSON</span><textarea name="input" class="mono" rows="3" spellcheck="false" placeholder='{"scheduleId", "slotTime"}'>${schedule?.input === undefined ? "" : stringify(schedule.input)}</textarea></label>
    <${Trouble} error=${problem} /><div class="dialog-actions"><button type="submit" class="button primary">Keep it</button></div></form>`;
}

/** When it will come, or what is wrong with the expression; while it is written. */
function Preview({ cron, zone }) {
  const [told, setTold] = useState(null);
  useEffect(() => {
    if (!cron.trim()) { setTold(null); return undefined; }
    const abort = new AbortController();
    const timer = setTimeout(async () => {
      const found = await get(`/api/triggers/preview${query({ cron, timeZone: zone })}`, { signal: abort.signal }).catch((error) => ({ error }));
      if (!abort.signal.aborted) setTold({ ...found, zone });
    }, 300);
    return () => { clearTimeout(timer); abort.abort(); };
  }, [cron, zone]);
  return html`<div role="status" class="preview">${!told ? "" : told.error ? html`<p class="field-error">${told.error.problems?.map((one) => one.message).join("; ") || told.error.message}</p>` : html`<${Times} times=${told.times} zone=${told.zone} />`}</div>`;
}

function Webhooks() {
  const { value, error, refresh } = usePolled((signal) => loadAll("/api/triggers/webhooks", "webhooks", signal), [], REFRESH_MS);
  const edit = (webhook) => openDialog(webhook ? `Change ${webhook.path}` : "New webhook", ({ close }) => html`<${WebhookForm} webhook=${webhook} close=${close} done=${refresh} />`);
  return html`<div class="bulk"><span class="muted">A call to its address starts a workflow; the same delivery starts it once.</span><span class="spring"></span>
      ${may("TriggerService/PutWebhook") && html`<${Button} icon="plus" kind="primary" onClick=${() => edit(null)}>New webhook<//>`}</div>
    <${Trouble} error=${error?.status ? error : null} retry=${refresh} />
    ${!value ? html`<${Skeleton} rows=${5} height=${34} />` : !value.length ? html`<${Empty} title="There is no webhook"><p>A webhook starts a stored workflow when somebody calls its address.</p><//>`
      : html`<table class="rows triggers"><thead><tr><th>Webhook</th><th>Starts</th><th>Waits</th><th>Changed</th><th></th></tr></thead>
        <tbody>${value.map((one) => html`<${WebhookRow} key=${one.path} webhook=${one} edit=${edit} refresh=${refresh} />`)}</tbody></table>`}`;
}

/** A webhook as it would be put again. */
const kept = ({ workflowId, workflowVersion, mode, priority, tags, wait, unsigned, paused }) => ({ workflowId, ...(workflowVersion ? { workflowVersion } : {}), mode, priority, tags, wait, unsigned, paused });

function WebhookRow({ webhook, edit, refresh }) {
  const { path, url } = webhook;
  const put = (changes, done) => attempt(() => call("PUT", webhookPath(path), { body: { ...kept(webhook), ...changes } }), (answer) => { done?.(answer); refresh(); });
  const rotate = async () => {
    if (await confirm({ title: `New secret for ${path}?`, text: "Deliveries that are signed with the present one are refused from then on.", action: "Make a new secret", kind: "danger" }) === null) return;
    put({ rotateSecret: true }, ({ secret }) => openDialog(`The secret of ${path}`, ({ close }) => html`<${MadeSecret} secret=${secret} close=${close} />`));
  };
  const remove = async () => {
    if (await confirm({ title: `Delete ${path}?`, text: "Calls to its address are answered 404 from then on. Executions go on and stay.", action: "Delete the webhook", kind: "danger" }) === null) return;
    attempt(() => call("DELETE", webhookPath(path)), refresh);
  };
  return html`<tr data-webhook=${path}>
    <td class="who wide"><b>${path}</b> ${webhook.paused && html`<span class="tag">paused</span>`} ${webhook.unsigned && html`<span class="tag">unsigned</span>`}<br />
      <span class="muted small"><code>${url}</code> <button type="button" class="text-button" onClick=${() => navigator.clipboard?.writeText(url).then(() => say("Address copied"))}>Copy</button></span></td>
    <td><${Starts} trigger=${webhook} /> <${Link} class="small quiet-link" to=${["executions"]} query=${{ tag: `webhook:${path}` }}>Runs<//></td>
    <td class="num">${webhook.wait ? span(webhook.wait) : "not at all"}</td>
    <td><${Time} at=${webhook.updatedAt} /></td>
    <td class="right">${may("TriggerService/PutWebhook") && html`<div class="row-actions">
      <button type="button" class="text-button" onClick=${() => put({ paused: !webhook.paused })}>${webhook.paused ? "Resume" : "Pause"}</button>
      <button type="button" class="text-button" onClick=${() => edit(webhook)}>Change</button>
      ${!webhook.unsigned && html`<button type="button" class="text-button" onClick=${rotate}>New secret</button>`}
      ${may("TriggerService/DeleteWebhook") && html`<button type="button" class="text-button" onClick=${remove}>Delete</button>`}</div>`}</td></tr>`;
}

function WebhookForm({ webhook, close, done }) {
  const form = useRef(null);
  const [problem, setProblem] = useState(null);
  const [secret, setSecret] = useState("");
  const submit = async (event) => {
    event.preventDefault();
    const values = Object.fromEntries(new FormData(form.current));
    const body = { ...started(values, webhook), wait: 1000 * Number(values.wait), unsigned: values.unsigned === "on", paused: webhook?.paused ?? false };
    try {
      const answer = await call("PUT", webhookPath(webhook?.path ?? values.path.trim()), { body });
      done();
      if (answer.secret) setSecret(answer.secret); else close();
    } catch (error) { setProblem(error); }
  };
  if (secret) return html`<${MadeSecret} secret=${secret} close=${close} />`;
  return html`<form ref=${form} onSubmit=${submit} autocomplete="off">
    ${!webhook && html`<label class="field"><span>Path</span><input name="path" required maxlength="128" spellcheck="false" placeholder="orders: called at /hooks/orders" /></label>`}
    <${StartFields} trigger=${webhook} />
    <label class="field"><span>Seconds that a caller waits for an answer</span><input name="wait" type="number" min="0" max="60" required value=${(webhook?.wait ?? 10_000) / 1000} /></label>
    <label><input type="checkbox" name="unsigned" defaultChecked=${webhook?.unsigned ?? false} /> unsigned: whoever knows the address may call</label>
    <${Trouble} error=${problem} /><div class="dialog-actions"><button type="submit" class="button primary">Keep it</button></div></form>`;
}

function MadeSecret({ secret, close }) {
  return html`<div class="form"><p>Deliveries are signed with this. It is shown once; copy it now.</p><pre class="code wrap" data-secret>${secret}</pre><div class="dialog-actions">
    <${Button} icon="copy" onClick=${() => navigator.clipboard?.writeText(secret).then(() => say("Secret copied"))}>Copy<//><${Button} kind="primary" onClick=${close}>Done<//></div></div>`;
}
