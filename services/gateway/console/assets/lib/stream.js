// Server-sent events by fetch, which unlike EventSource tells why a stream was refused. Comes back by itself and
// goes on after the last event that was seen.
import { problemOf, reachable } from "./api.js";
import { parse } from "./exact-json.js";

const SILENCE_MS = 45_000; // heartbeats come every 15 s
const UNSEEN_MS = 10_000; // a hidden tab gives its connection back: browsers allow six to a host over all tabs
const FIRST_PAUSE_MS = 300;
const LONGEST_PAUSE_MS = 5_000;

/**
 * Follow a stream until it ends or `stop` is called.
 *
 * frames(list): what one network read brought, in order.
 * state(word): "live", "lost" (it will be tried again), "ended" or "refused" (with the Problem).
 * after: id of the last frame that is known, 0 or "" for none. Returns stop().
 */
export function follow(path, { after = 0, frames, state = () => {} }) {
  const stopping = new AbortController();
  let wake = () => {};
  let connection = new AbortController();
  let unseen = 0;
  const hurry = () => wake();
  const looked = () => {
    clearTimeout(unseen);
    if (document.hidden) unseen = setTimeout(() => connection.abort(), UNSEEN_MS);
    else hurry();
  };
  addEventListener("online", hurry);
  document.addEventListener("visibilitychange", looked);

  (async () => {
    let cursor = after;
    let pause = FIRST_PAUSE_MS;
    while (!stopping.signal.aborted) {
      connection = new AbortController();
      try {
        const ended = await once(path, cursor, AbortSignal.any([stopping.signal, connection.signal]), (list) => {
          cursor = list.at(-1).id || cursor;
          frames(list.map((frame) => frame.data));
        }, () => { pause = FIRST_PAUSE_MS; reachable.value = true; state("live"); });
        if (ended) return state("ended");
      } catch (error) {
        if (stopping.signal.aborted) return undefined;
        if (error.status && error.status !== 503 && error.status !== 429) return state("refused", error);
        if (!error.status && !connection.signal.aborted) reachable.value = false;
      }
      if (stopping.signal.aborted) return undefined;
      state("lost");
      await new Promise((resolve) => { wake = resolve; if (!connection.signal.aborted) setTimeout(resolve, pause); });
      pause = Math.min(pause * 1.7, LONGEST_PAUSE_MS);
    }
    return undefined;
  })();

  return () => {
    stopping.abort();
    clearTimeout(unseen);
    wake();
    removeEventListener("online", hurry);
    document.removeEventListener("visibilitychange", looked);
  };
}

/** One connection. True when nothing will ever come after the cursor. */
async function once(path, cursor, stop, deliver, opened) {
  const quiet = new AbortController();
  const abort = () => quiet.abort();
  if (stop.aborted) return false;
  stop.addEventListener("abort", abort);
  let timer = setTimeout(abort, SILENCE_MS);
  try {
    const headers = { Accept: "text/event-stream", ...(cursor ? { "Last-Event-ID": String(cursor) } : {}) };
    const response = await fetch(path, { headers, signal: quiet.signal, cache: "no-store" });
    if (response.status === 204) return true;
    if (!response.ok) throw await problemOf(response);
    opened();
    const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
    let rest = "";
    for (;;) {
      const { value, done } = await reader.read();
      if (done) return false;
      clearTimeout(timer);
      timer = setTimeout(abort, SILENCE_MS);
      const blocks = (rest + value).split("\n\n");
      rest = blocks.pop();
      const list = blocks.map(frameOf).filter(Boolean);
      if (list.length) deliver(list);
    }
  } finally {
    clearTimeout(timer);
    stop.removeEventListener("abort", abort);
  }
}

function frameOf(block) {
  let id = "";
  let data = "";
  for (const line of block.split("\n")) {
    if (line.startsWith("data:")) data += line.slice(5).trimStart();
    else if (line.startsWith("id:")) id = line.slice(3).trim();
  }
  return data ? { id, data: parse(data) } : null;
}
