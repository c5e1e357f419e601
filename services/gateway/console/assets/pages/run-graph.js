// The graph of a run, live. Without an execution's steps (in the editor) it shows the definition alone.
import { effect, html, useEffect, useRef, useState } from "../lib/html.js";
import { span } from "../lib/time.js";
import { themeVersion } from "../lib/preferences.js";
import { GraphCanvas } from "../graph/canvas.js";
import { layoutOf } from "../graph/layouts.js";
import { CARD, CLOSED, HEADER } from "../graph/painter.js";
import { keyOf } from "../model/run.js";
import { Button, Icon, Skeleton } from "../components/basics.js";

const WAITS = { person: "waits for a person", callback: "waits for a callback", timer: "waits for its time", retry: "will be tried again", child: "waits for a sub-flow", task: "waits for a program" };

/** still: a definition without a run; look.marks then tells what is wrong with a node. */
export function GraphView({ feed, look, still }) {
  const { run } = feed;
  const [found, setFound] = useState(null);
  const host = useRef(null);
  const canvas = useRef(null);
  const latest = useRef(null);
  latest.current = { run, look, found };
  const [ready, setReady] = useState(false);

  useEffect(() => {
    const graph = canvas.current = new GraphCanvas(host.current, {
      look: (id) => lookOf(latest.current, id),
      edgeState: (edge) => edgeState(latest.current, edge),
      on: {
        choose: (id) => latest.current.look.choose(id),
        open: (id) => { if (latest.current.run.graph.children.has(id)) latest.current.look.toggle(id); },
        header: (id, part) => headerClick(latest.current, id, part),
      },
    });
    host.current.graph = graph; // for tests and for the curious
    const endTheme = effect(() => { themeVersion.value; graph.recolour(); });
    return () => { endTheme(); graph.destroy(); };
  }, []);

  useEffect(() => run.listen((touched) => canvas.current.touch(withContainers(run, touched))), [run]);

  const openKey = [...look.open].join("\n");
  const openBefore = useRef(null);
  useEffect(() => {
    let stale = false;
    const before = openBefore.current;
    const changed = before === null ? null : [...look.open, ...before].find((id) => look.open.has(id) !== before.has(id));
    openBefore.current = look.open;
    const asked = performance.now();
    layoutOf(scopeOf(run.graph, look.open, "")).then(({ layout }) => {
      if (stale || !host.current) return;
      canvas.current.setLayout(layout, changed);
      host.current.dataset.laidOutMs = Math.round(performance.now() - asked);
      setReady(true);
      if (latest.current.look.selected) canvas.current.show(latest.current.look.selected);
    });
    return () => { stale = true; };
  }, [run, openKey]);

  useEffect(() => {
    canvas.current.select(look.selected);
    if (look.selected && ready) canvas.current.show(look.selected);
  }, [look.selected, ready]);
  useEffect(() => { canvas.current.repaint(); }, still ? undefined : [look, found]);

  return html`<div class="graph-view">
    <${Toolbar} run=${run} look=${look} canvas=${canvas} found=${found} setFound=${setFound} />
    <div class="graph" ref=${host} tabIndex="0" role="application" aria-roledescription="workflow graph"
      aria-label="Graph of ${run.graph.nodes.length} nodes. Arrow keys walk, Enter chooses, Space opens containers. The Steps view lists the same as a table."
      onKeyDown=${(event) => keys(event, latest.current, canvas.current)}>
      ${!ready && html`<div class="graph-skeleton"><${Skeleton} rows=${4} height=${44} /></div>`}
    </div>
    <div class="hidden" aria-live="polite">${look.selected ? sentence(latest.current, look.selected) : ""}</div>
  </div>`;
}

function Toolbar({ run, look, canvas, found, setFound }) {
  const containers = run.graph.children.size > 1;
  const search = (event) => {
    const text = event.target.value.trim().toLowerCase();
    setFound(text ? { text, ids: run.graph.nodes.filter((node) => matches(node, text)).map((node) => node.id), at: -1 } : null);
  };
  const jump = (event) => {
    if (event.key === "Escape") { event.target.value = ""; setFound(null); event.target.blur(); return; }
    if (event.key !== "Enter" || !found?.ids.length) return;
    const at = (found.at + (event.shiftKey ? -1 : 1) + found.ids.length) % found.ids.length;
    setFound({ ...found, at });
    look.choose(found.ids[at]);
  };
  return html`<div class="graph-tools">
    <label class="input-icon"><${Icon} name="search" /><span class="hidden">Find a node</span>
      <input data-search type="search" placeholder="find a node" onInput=${search} onKeyDown=${jump} spellcheck="false" /></label>
    ${found && html`<span class="muted small" role="status">${found.ids.length ? `${found.at >= 0 ? `${found.at + 1} of ` : ""}${found.ids.length} found` : "none found"}</span>`}
    <span class="spring"></span>
    ${containers && html`<${Button} onClick=${() => look.openAll(look.open.size === 0)}>${look.open.size ? "Close all" : "Open all"}<//>`}
    <${Button} icon="minus" label="Zoom out" onClick=${() => canvas.current.zoom(1 / 1.3)} />
    <${Button} icon="plus" label="Zoom in" onClick=${() => canvas.current.zoom(1.3)} />
    <${Button} icon="fit" label="Show all" onClick=${() => canvas.current.fit()} />
  </div>`;
}

const matches = (node, text) => node.id.toLowerCase().includes(text) || node.name.toLowerCase().includes(text) || node.type.toLowerCase().includes(text);

function scopeOf(graph, open, container) {
  const ids = graph.children.get(container) ?? [];
  const here = new Set(ids);
  return {
    nodes: ids.map((id) => {
      if (!graph.children.has(id)) return { id, ...CARD };
      if (!open.has(id)) return { id, ...CLOSED };
      return { id, width: 300, height: 0, header: HEADER + 6, scope: scopeOf(graph, open, id) };
    }),
    edges: graph.edges.filter((edge) => here.has(edge.source) && here.has(edge.target)),
  };
}

/** Of a node that is still drawn while its definition has changed. */
const GONE = { status: "pending", title: "", subtitle: "", note: "", dim: true };

function lookOf({ run, look, found }, id) {
  const node = run.graph.byId.get(id);
  if (!node) return GONE;
  const step = run.step(id, look.path(id));
  const status = step?.status ?? "pending";
  const seen = {
    status, title: node.name, subtitle: node.type, note: noteOf(step), dim: found !== null && !found.ids.includes(id),
  };
  if (look.marks?.has(id)) Object.assign(seen, { status: "failed", subtitle: look.marks.get(id), subtitleStrong: true });
  else if (status === "waiting" && step.waiting) Object.assign(seen, { subtitle: WAITS[step.waiting.kind] ?? "waits", subtitleStrong: true });
  else if (status === "failed") Object.assign(seen, { subtitle: step.error?.code ?? "failed", subtitleStrong: true });
  else if (status === "completed" && waysOf(step).length) seen.subtitle = `${node.type} → ${waysOf(step).join(", ")}`;
  else if (status === "skipped" || status === "cancelled") seen.subtitle = `${node.type} · ${status}`;
  if (run.graph.children.has(id)) containerLook(seen, { run, look }, id, step);
  return seen;
}

function containerLook(seen, { run, look }, id, step) {
  const path = look.path(id);
  const { words } = run.iterationsOf(id, path);
  const count = Math.max(step?.loop?.itemCount ?? 0, words.length);
  const done = words.reduce((sum, word) => sum + (word === "completed" ? 1 : 0), 0);
  const inner = look.chosen.get(keyOf(id, path));
  Object.assign(seen, {
    container: true, open: look.open.has(id), cells: words, count,
    current: inner ?? firstOf(words),
  });
  if (count > 1) {
    seen.note = seen.note ? `${done}/${count} · ${seen.note}` : `${done}/${count}`;
    seen.iterationText = `${seen.current + 1} of ${count}`;
  }
}

function firstOf(words) {
  for (const word of ["failed", "waiting", "running"]) {
    const at = words.indexOf(word);
    if (at >= 0) return at;
  }
  return Math.max(0, words.findIndex((word) => word !== undefined));
}

function noteOf(step) {
  if (!step) return "";
  const tries = step.attempts > 1 ? `×${step.attempts}` : "";
  const lasted = step.startedAt && step.completedAt && step.status !== "skipped" ? span(step.durationMs ?? Date.parse(step.completedAt) - Date.parse(step.startedAt)) : "";
  return [tries, lasted].filter(Boolean).join(" ");
}

function edgeState({ run, look }, edge) {
  const step = run.step(edge.source, look.path(edge.source));
  if (!step || ["running", "waiting"].includes(step.status)) return "open";
  if (step.status === "completed") return !edge.handle || waysOf(step).includes(edge.handle) ? "taken" : "not";
  if (step.status === "failed") {
    if (edge.handle === "error") return "taken";
    return step.handled === "continue" && !edge.handle ? "taken" : "not";
  }
  return "not";
}

const waysOf = (step) => step.handles ?? (step.handle ? [step.handle] : []);

function headerClick({ run, look }, id, part) {
  if (part === "close") return look.toggle(id);
  const seen = lookOf({ run, look, found: null }, id);
  const index = part === "next" ? seen.current + 1 : part === "previous" ? seen.current - 1 : part;
  if (index >= 0 && index < seen.count) look.iterate(id, index);
  return undefined;
}

/** What a step shows may hang on the iteration its container shows. */
function withContainers(run, touched) {
  const all = new Set(touched);
  for (const id of touched) if (run.graph.children.has(id)) for (const child of run.graph.children.get(id)) all.add(child);
  return all;
}

const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

function keys(event, latest, canvas) {
  const { look, run } = latest;
  const act = {
    "+": () => canvas.zoom(1.3), "=": () => canvas.zoom(1.3), "-": () => canvas.zoom(1 / 1.3), 0: () => canvas.fit(),
    Escape: () => look.choose(null),
    " ": () => { if (look.selected && run.graph.children.has(look.selected)) look.toggle(look.selected); },
    Enter: () => (look.selected ? document.querySelector(".inspector")?.focus() : look.choose(run.graph.nodes[0]?.id ?? null)),
  }[event.key] ?? (ARROWS[event.key] && (() => {
    const next = look.selected ? canvas.neighbour(look.selected, ARROWS[event.key]) : run.graph.nodes[0]?.id;
    if (next) look.choose(next);
  }));
  if (!act || event.ctrlKey || event.metaKey || event.altKey) return;
  event.preventDefault();
  event.stopPropagation();
  act();
}

function sentence(latest, id) {
  const seen = lookOf(latest, id);
  return `${seen.title}, ${seen.subtitle}, ${seen.status}${seen.count > 1 ? `, ${seen.note}` : ""}${seen.container ? seen.open ? ", open" : ", closed" : ""}`;
}
