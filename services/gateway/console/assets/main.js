// The console: which page is shown, and what stands around it.
import { html, render, useEffect } from "./lib/html.js";
import { Link, go, route } from "./lib/router.js";
import { may, meet, mustSignIn, reachable, session, signOut } from "./lib/api.js";
import { comeBack } from "./lib/provider.js";
import { theme } from "./lib/preferences.js";
import { timeStyle } from "./lib/time.js";
import { Button, Icon } from "./components/basics.js";
import { Boundary } from "./components/boundary.js";
import { Dialogs, openDialog } from "./components/dialog.js";
import { Toasts } from "./components/toasts.js";
import { AccessPage } from "./pages/access.js";
import { ExecutionsPage } from "./pages/executions.js";
import { ExecutionPage } from "./pages/execution.js";
import { InboxBadge, InboxPage } from "./pages/inbox.js";
import { WorkflowPage } from "./pages/workflow.js";
import { WorkflowsPage } from "./pages/workflows.js";
import { NodeTypesPage } from "./pages/node-types.js";
import { StatsPage } from "./pages/stats.js";
import { TriggersPage } from "./pages/triggers.js";
import { WorkersPage } from "./pages/workers.js";
import { SignIn } from "./pages/sign-in.js";

const PAGES = [
  { path: "executions", title: "Executions", icon: "executions", page: ExecutionsPage, detail: ExecutionPage, key: "e" },
  { path: "inbox", title: "Inbox", icon: "inbox", page: InboxPage, key: "i", badge: InboxBadge, whole: true },
  { path: "workflows", title: "Workflows", icon: "workflows", page: WorkflowsPage, detail: WorkflowPage, key: "w" },
  { path: "triggers", title: "Triggers", icon: "schedules", page: TriggersPage, key: "t", needs: "TriggerService/ListSchedules" },
  { path: "nodes", title: "Node types", icon: "nodes", page: NodeTypesPage, detail: NodeTypesPage, key: "n", whole: true, same: true },
  { path: "stats", title: "Stats", icon: "stats", page: StatsPage, key: "s" },
  { path: "workers", title: "Workers", icon: "workers", page: WorkersPage, key: "q", needs: "OperationsService/GetQueue" },
  { path: "access", title: "Access", icon: "key", page: AccessPage, key: "a", needs: "AccessService/ListTokens" },
];

function App() {
  const [head = "executions", id] = route.value.path;
  const place = PAGES.find((page) => page.path === head);
  useEffect(() => { if (!id || place?.same) document.title = `${place?.title ?? "Not found"} · Flow`; }, [head, id]);
  if (mustSignIn.value) return html`<${SignIn} /><${Toasts} />`;
  const Page = id && place?.detail ? place.detail : place?.page;
  return html`
    <a class="skip" href="#main" onClick=${(event) => { event.preventDefault(); document.getElementById("main").focus(); }}>Skip to the page</a>
    <div class="shell">
      <${Sidebar} current=${head} />
      <main id="main" tabIndex="-1" class=${id || place?.whole ? "detail" : ""}>
        ${!reachable.value && html`<div class="banner lost" role="status">The gateway does not answer. What you see is the last that was known; it will catch up by itself.</div>`}
        ${Page ? html`<${Boundary} key=${place.same ? head : head + (id ?? "")}><${Page} id=${id} /><//>` : html`<${NotFound} />`}
      </main>
    </div>
    <${Dialogs} /><${Toasts} />`;
}

function Sidebar({ current }) {
  return html`<nav class="sidebar" aria-label="Console">
    <${Link} to=${["executions"]} class="brand" aria-label="Flow, executions"><img src=${new URL("icon.svg", import.meta.url).pathname} alt="" width="22" height="22" /><span>Flow</span><//>
    <ul>${PAGES.filter((page) => !page.needs || may(page.needs)).map((page) => html`<li key=${page.path}>
      <${Link} to=${[page.path]} aria-current=${page.path === current ? "page" : undefined}>
        <${Icon} name=${page.icon} /><span>${page.title}</span>${page.badge && html`<${page.badge} />`}<//></li>`)}</ul>
    <div class="sidebar-foot">
      <${ThemeButton} />
      <${Button} icon="clock" label=${timeStyle.value === "relative" ? "Show times as clock times" : "Show times as spans"}
        aria-pressed=${String(timeStyle.value === "absolute")}
        onClick=${() => { timeStyle.value = timeStyle.value === "relative" ? "absolute" : "relative"; }} />
      <a class="button bare" href="/docs" title="API reference" aria-label="API reference"><${Icon} name="external" /></a>
      <button type="button" class="button bare keys-button" title="Keyboard" aria-label="Keyboard shortcuts" onClick=${showKeys}>?</button>
      ${session.value?.authenticationRequired && html`<p class="who-am-i small"><span title="namespace ${session.value.namespace}">${session.value.subject}, ${session.value.role}</span>
        <button type="button" class="text-button" onClick=${signOut}>Sign out</button></p>`}
    </div></nav>`;
}

function ThemeButton() {
  const order = ["auto", "light", "dark"];
  const icons = { auto: "auto", light: "sun", dark: "moon" };
  return html`<${Button} icon=${icons[theme.value]} label="Colours: ${theme.value}"
    onClick=${() => { theme.value = order[(order.indexOf(theme.value) + 1) % order.length]; }} />`;
}

function NotFound() {
  return html`<div class="page"><h1>There is no such page</h1><p><${Link} to=${["executions"]}>Executions<//></p></div>`;
}

const KEYS = [
  ["g then e, i, w, t, n, s, q, a", "go to a page"], ["/", "search or filter"], ["j, k", "next or previous row"], ["Enter", "open the row"],
  ["← → ↑ ↓", "walk through the graph"], ["Space", "open or close a container"], ["+ − 0", "zoom in, out, show all"], ["Escape", "clear the choice, close"], ["?", "this list"],
];

function showKeys() {
  openDialog("Keyboard", () => html`<dl class="keys">${KEYS.map(([keys, text]) => html`<dt key=${keys}><kbd>${keys}</kbd></dt><dd>${text}</dd>`)}</dl>`);
}

let leader = 0;
addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.target.closest?.("input, textarea, select, dialog, [contenteditable]")) return;
  if (event.key === "?") return showKeys();
  if (event.key === "/") {
    const field = document.querySelector("[data-search]");
    if (field) { event.preventDefault(); field.focus(); field.select?.(); }
    return undefined;
  }
  if (event.key === "g") { leader = Date.now(); return undefined; }
  if (Date.now() - leader < 1200) {
    const page = PAGES.find(({ key }) => key === event.key);
    leader = 0;
    if (page) { event.preventDefault(); go([page.path]); }
  }
  return undefined;
});

await comeBack();
meet();
render(html`<${App} />`, document.getElementById("app"));
