// Who may come in, what is kept secret, and who did what.
import { html, useRef, useState } from "../lib/html.js";
import { call, get, may, post, query } from "../lib/api.js";
import { usePolled } from "../lib/live.js";
import { refine, route } from "../lib/router.js";
import { Time } from "../lib/time.js";
import { Button, Empty, FilterField, Icon, Skeleton, Tabs, Trouble } from "../components/basics.js";
import { confirm, openDialog } from "../components/dialog.js";
import { say } from "../components/toasts.js";

const VIEWS = [["tokens", "Tokens", Tokens, "AccessService/ListTokens"], ["secrets", "Secrets", Secrets, "SecretService/ListSecrets"], ["audit", "Audit log", Audit, "AccessService/ListAuditEntries"]];
const ROLES = ["viewer", "operator", "author", "worker", "admin"];
const DAY_MS = 86_400_000;

export function AccessPage() {
  const views = VIEWS.filter(([, , , method]) => may(method));
  const [key, , View] = views.find(([name]) => name === route.value.query.get("view")) ?? views[0] ?? VIEWS[0];
  return html`<div class="page"><header class="page-head"><h1>Access</h1></header>
    <div class="page-tabs"><${Tabs} label="Parts of access" tabs=${views.map(([name, title]) => [name, title])} current=${key} choose=${(view) => refine({ view })} /></div>
    <${View} key=${key} /></div>`;
}

function Tokens() {
  const { value, error, refresh } = usePolled((signal) => get("/api/tokens", { signal }).then((answer) => answer.tokens), [], 30_000);
  const revoke = async (token) => {
    if (await confirm({ title: `Revoke ${token.name}?`, text: "Calls with it are refused from now on.", action: "Revoke the token", kind: "danger" }) === null) return;
    try { await call("DELETE", `/api/tokens/${encodeURIComponent(token.id)}`); refresh(); } catch (problem) { say(problem.message, { kind: "failed" }); }
  };
  return html`<div class="bulk"><span class="muted">A token lets a program or a person in, with a role.</span><span class="spring"></span>
      ${may("AccessService/CreateToken") && html`<${Button} icon="plus" kind="primary" onClick=${() => openDialog("New token", ({ close }) => html`<${NewToken} close=${close} done=${refresh} />`)}>New token<//>`}</div>
    <${Trouble} error=${error} retry=${refresh} />
    ${!value ? html`<${Skeleton} rows=${5} height=${30} />` : !value.length ? html`<${Empty} title="There is no token" />` : html`<table class="rows plain"><thead><tr><th>Name</th><th>Role</th><th>Made</th><th>Ends</th><th></th></tr></thead><tbody>${value.map((token) => html`
      <tr key=${token.id}><td><b>${token.name}</b></td><td>${token.role}</td><td><${Time} at=${token.createdAt} /> <span class="muted">by ${token.createdBy}</span></td>
        <td>${token.revokedAt ? html`<span class="muted">revoked <${Time} at=${token.revokedAt} /></span>` : token.expiresAt ? html`<${Time} at=${token.expiresAt} />` : "never"}</td>
        <td class="right">${!token.revokedAt && may("AccessService/RevokeToken") && html`<button type="button" class="text-button" onClick=${() => revoke(token)}>Revoke</button>`}</td></tr>`)}</tbody></table>`}`;
}

function NewToken({ close, done }) {
  const form = useRef(null);
  const [problem, setProblem] = useState(null);
  const [secret, setSecret] = useState("");
  const submit = async (event) => {
    event.preventDefault();
    const values = Object.fromEntries(new FormData(form.current));
    try {
      const made = await post("/api/tokens", { name: values.name, role: values.role, ttlMs: Number(values.days) * DAY_MS });
      setSecret(made.secret);
      done();
    } catch (error) { setProblem(error); }
  };
  if (secret) {
    return html`<div class="form"><p>This is shown once; copy it now.</p><pre class="code wrap">${secret}</pre><div class="dialog-actions">
      <${Button} icon="copy" onClick=${() => navigator.clipboard?.writeText(secret).then(() => say("Token copied"))}>Copy<//><${Button} kind="primary" onClick=${close}>Done<//></div></div>`;
  }
  return html`<form ref=${form} onSubmit=${submit}><label class="field"><span>Name</span><input name="name" required maxlength="100" placeholder="what or who it is for" /></label>
    <div class="run-form-options"><label class="field"><span>Role</span><select name="role">${ROLES.map((role) => html`<option key=${role}>${role}</option>`)}</select></label>
      <label class="field"><span>Days</span><input name="days" type="number" min="1" max="3660" value="90" required /></label></div>
    <${Trouble} error=${problem} /><div class="dialog-actions"><button type="submit" class="button primary">Make it</button></div></form>`;
}

function Secrets() {
  const { value, error, refresh } = usePolled((signal) => get("/api/secrets", { signal }).then((answer) => answer.secrets), [], 30_000);
  const forget = async (secret) => {
    if (await confirm({ title: `Forget ${secret.name}?`, text: "Workflows that name it fail from now on.", action: "Forget the secret", kind: "danger" }) === null) return;
    try { await call("DELETE", `/api/secrets/${encodeURIComponent(secret.name)}`); refresh(); } catch (problem) { say(problem.message, { kind: "failed" }); }
  };
  return html`<div class="bulk"><span class="muted">Workflows name secrets; nobody reads them, here neither.</span><span class="spring"></span>
      ${may("SecretService/PutSecret") && html`<${Button} icon="plus" kind="primary" onClick=${() => openDialog("Keep a secret", ({ close }) => html`<${NewSecret} close=${close} done=${refresh} />`)}>New secret<//>`}</div>
    <${Trouble} error=${error} retry=${refresh} />
    ${!value ? html`<${Skeleton} rows=${5} height=${30} />` : !value.length ? html`<${Empty} title="No secret is kept" />` : html`<table class="rows plain"><thead><tr><th>Name</th><th>May be sent to</th><th>From</th><th>Changed</th><th></th></tr></thead><tbody>${value.map((secret) => html`
      <tr key=${secret.name}><td><code>${secret.name}</code></td><td>${secret.hosts.map((host) => html`<span class="tag" key=${host}>${host}</span>`)}</td><td class="muted">${secret.source}</td><td><${Time} at=${secret.updatedAt} /></td>
        <td class="right">${secret.source === "database" && may("SecretService/DeleteSecret") && html`<button type="button" class="text-button" onClick=${() => forget(secret)}>Forget</button>`}</td></tr>`)}</tbody></table>`}`;
}

function NewSecret({ close, done }) {
  const form = useRef(null);
  const [problem, setProblem] = useState(null);
  const submit = async (event) => {
    event.preventDefault();
    const values = Object.fromEntries(new FormData(form.current));
    const hosts = values.hosts.split(/[\s,]+/).filter(Boolean);
    try { await call("PUT", `/api/secrets/${encodeURIComponent(values.name)}`, { body: { value: values.value, hosts } }); done(); close(); say(`Kept ${values.name}`); } catch (error) { setProblem(error); }
  };
  return html`<form ref=${form} onSubmit=${submit} autocomplete="off"><label class="field"><span>Name</span><input name="name" required spellcheck="false" /></label>
    <label class="field"><span>Value</span><input name="value" type="password" required autocomplete="new-password" /></label>
    <label class="field"><span>Hosts that it may be sent to</span><input name="hosts" placeholder="api.example.com, by commas" spellcheck="false" /></label>
    <${Trouble} error=${problem} /><div class="dialog-actions"><button type="submit" class="button primary">Keep it</button></div></form>`;
}

function Audit() {
  const values = route.value.query;
  const filter = { subject: values.get("subject") ?? "", target: values.get("target") ?? "" };
  const { value, error, refresh } = usePolled((signal) => get(`/api/audit${query({ ...filter, limit: 200 })}`, { signal }).then((answer) => answer.entries), [JSON.stringify(filter)], 10_000);
  return html`<div class="filters"><${FilterField} label="Who" icon="search" data-search placeholder="who" value=${filter.subject} take=${(subject) => refine({ subject })} />
      <${FilterField} label="About which id" placeholder="id of what was changed" value=${filter.target} take=${(target) => refine({ target })} /></div>
    <${Trouble} error=${error} retry=${refresh} />
    ${!value ? html`<${Skeleton} rows=${8} height=${24} />` : !value.length ? html`<${Empty} title="Nothing is recorded" />` : html`<table class="rows plain"><thead><tr><th>When</th><th>Who</th><th>Did</th><th>To</th><th>Outcome</th><th>From</th></tr></thead><tbody>${value.map((entry) => html`
      <tr key=${entry.id}><td class="num"><${Time} at=${entry.time} /></td><td>${entry.subject} <span class="muted">${entry.role}</span></td><td>${entry.action}</td><td class="mono small">${entry.target}</td>
        <td>${entry.outcome === "OK" ? html`<span class="muted">OK</span>` : html`<span class="failed-text">${entry.outcome}</span>`}</td><td class="muted small">${entry.clientAddress || entry.peer}</td></tr>`)}</tbody></table>`}`;
}
