// One run: what it is doing, why it waits, what each step got and gave, and what can be done about it.
import { html, useEffect, useMemo, useState } from "../lib/html.js";
import { refine, route } from "../lib/router.js";
import { openFeed } from "../model/feed.js";
import { containersOf } from "../model/definition.js";
import { keyOf, pathOf } from "../model/run.js";
import { Skeleton, Tabs, Trouble } from "../components/basics.js";
import { EventsView } from "./run-events.js";
import { GraphView } from "./run-graph.js";
import { Inspector } from "./run-inspector.js";
import { RunHead } from "./run-head.js";
import { StepsView } from "./run-steps.js";
import { TimelineView } from "./run-timeline.js";

const VIEWS = { graph: GraphView, timeline: TimelineView, steps: StepsView, events: EventsView };

export function ExecutionPage({ id }) {
  const { feed, error, state } = useFeed(id);
  if (error) return html`<div class="page"><h1>Execution</h1><${Trouble} error=${error} /></div>`;
  if (!feed) {
    return html`<div class="run"><header class="run-head"><${Skeleton} rows=${2} height=${22} /></header>
      <div class="run-body"><section class="run-main"><${Skeleton} rows=${7} height=${44} /></section><aside class="inspector"><${Skeleton} rows=${8} /></aside></div></div>`;
  }
  return html`<${RunPage} feed=${feed} state=${state} />`;
}

function useFeed(id) {
  const [shown, setShown] = useState({ feed: null, error: null });
  const [state, setState] = useState("live");
  useEffect(() => {
    const abort = new AbortController();
    setShown({ feed: null, error: null });
    openFeed(id, { state: setState, abort: abort.signal }).then(
      (feed) => { if (!abort.signal.aborted) setShown({ feed, error: null }); },
      (error) => { if (!abort.signal.aborted) setShown({ feed: null, error }); });
    return () => abort.abort();
  }, [id]);
  return { ...shown, state };
}

function RunPage({ feed, state }) {
  const run = feed.run.watched;
  const { query } = route.value;
  const view = VIEWS[query.get("view")] ? query.get("view") : "graph";
  const look = useLook(run);
  const { execution } = run;
  useEffect(() => {
    document.title = `${{ completed: "✓", failed: "✗", running: "▸", waiting: "◦" }[execution.status] ?? "·"} ${execution.workflowName || execution.workflowId || "Execution"} · Flow`;
  }, [execution.status]);
  const View = VIEWS[view];
  return html`<div class="run">
    <${RunHead} feed=${feed} state=${state} look=${look} />
    <div class="run-body">
      <section class="run-main">
        <${Tabs} label="Views of this execution" current=${view} choose=${(next) => refine({ view: next === "graph" ? "" : next })}
          tabs=${[["graph", "Graph"], ["timeline", "Timeline"], ["steps", "Steps", run.steps.size], ["events", "Events", Math.max(execution.lastSequence, run.last)]]} />
        <${View} feed=${feed} look=${look} />
      </section>
      <${Inspector} feed=${feed} look=${look} />
    </div></div>`;
}

/** What is looked at: the chosen step, open containers, and iterations; all of it in the address. */
function useLook(run) {
  const { query } = route.value;
  const selected = query.get("step") && run.graph.byId.has(query.get("step")) ? query.get("step") : null;
  const openText = query.get("open") ?? "";
  const iterations = query.get("it") ?? "";
  const [extra, setExtra] = useState(new Map());
  return useMemo(() => {
    const open = new Set(openText.split(",").filter(Boolean).map(decodeURIComponent));
    const chosen = new Map(extra);
    if (selected) {
      const around = containersOf(run.graph, selected);
      for (const container of around) open.add(container);
      const path = iterations.split(",").filter(Boolean).map(Number);
      around.forEach((container, at) => { if (path.length > at) chosen.set(keyOf(container, path.slice(0, at)), path[at]); });
    }
    const path = (id) => pathOf(run, containersOf(run.graph, id), chosen);
    const write = (set) => [...set].map(encodeURIComponent).join(",");
    return {
      selected, open, chosen, path,
      choose(id, iteration) {
        const at = id && (iteration ?? path(id));
        refine({ step: id ?? "", it: at?.length ? at.join(",") : "", event: "", open: write(open) });
      },
      toggle(id) {
        const next = new Set(open);
        const closing = next.delete(id);
        if (!closing) next.add(id);
        const inside = closing && selected && containersOf(run.graph, selected).includes(id);
        refine({ open: write(next), ...(inside ? { step: id, it: path(id).join(",") } : {}) });
      },
      openAll(all) { refine({ open: all ? write([...run.graph.children.keys()].filter(Boolean)) : "", ...(all ? {} : { step: "", it: "" }) }); },
      iterate(container, index) {
        const around = path(container);
        setExtra((old) => new Map(old).set(keyOf(container, around), index));
        if (selected && containersOf(run.graph, selected).includes(container)) {
          const whole = path(selected);
          whole[around.length] = index;
          refine({ it: whole.join(",") });
        }
      },
    };
  }, [run, selected, openText, iterations, extra]);
}
