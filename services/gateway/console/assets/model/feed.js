// Keeps a Run up to date: loads it, follows its stream, and fetches what events do not tell.
import { executionPath, get } from "../lib/api.js";
import { follow } from "../lib/stream.js";
import { graphOf } from "./definition.js";
import { FINAL, Run } from "./run.js";

const MOST_EVENTS = 30_000; // beyond it the past is not loaded, only what happens from now on
const FACTS_AFTER_MS = 120;
const LOOKS = { pending: 2000, running: 4000 }; // its place in the queue, when it will have ended
const UNSEEN_LOOK_MS = 20_000; // for the title of a tab in the background

/** {run, stop, refresh, whole}; state(word) as in lib/stream.js. Rejects with the Problem of the first call. */
export async function openFeed(id, { state, abort }) {
  const execution = await get(`${executionPath(id)}?definition=true`, { signal: abort });
  const { definition } = execution;
  const run = new Run(execution, graphOf(definition));
  run.definition = definition;
  const known = execution.lastSequence;
  const whole = known <= MOST_EVENTS;
  let past = whole && known ? [] : null;
  let timer = 0;

  const refresh = async () => {
    clearTimeout(timer);
    const facts = await get(`${executionPath(id)}?steps=false`, { signal: abort }).catch(() => null);
    if (facts && !(FINAL.has(run.execution.status) && !FINAL.has(facts.status))) run.adopt(facts);
    schedule(LOOKS[run.execution.status] ?? 0);
  };
  const schedule = (milliseconds) => {
    clearTimeout(timer);
    if (milliseconds && !abort.aborted) timer = setTimeout(refresh, document.hidden ? Math.max(UNSEEN_LOOK_MS, milliseconds) : milliseconds);
  };
  const frames = (list) => {
    if (past) {
      past.push(...list);
      if (past.at(-1).sequence < known) return;
      const split = past.findIndex((frame) => frame.sequence > known);
      const news = split < 0 ? [] : past.slice(split);
      run.rebuild(split < 0 ? past : past.slice(0, split));
      past = null;
      list = news;
      if (!list.length) return;
    }
    run.apply(list);
    if (list.some((frame) => frame.type.startsWith("execution."))) schedule(FACTS_AFTER_MS);
  };
  const stop = follow(`${executionPath(id)}/stream`, { after: whole ? 0 : known, frames, state });
  const away = () => { if (document.hidden && !run.final) schedule(UNSEEN_LOOK_MS); };
  document.addEventListener("visibilitychange", away);
  abort.addEventListener("abort", () => { stop(); clearTimeout(timer); document.removeEventListener("visibilitychange", away); });
  schedule(LOOKS[execution.status] ?? 0);
  return { run, refresh, whole };
}
