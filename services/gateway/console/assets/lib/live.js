// Values that are fetched again and again while somebody looks.
import { useEffect, useRef, useSignal } from "./html.js";
import { onChanges } from "../model/changes.js";

/**
 * {value, error, loading, refresh}: what `load(abortSignal)` gave last, fetched anew when `inputs` change and
 * every `everyMs` while the page is visible; with `changesMs` also when any execution changes, at most so often.
 * The last value stays until there is a newer one.
 */
export function usePolled(load, inputs, everyMs = 0, { changesMs = 0 } = {}) {
  const state = useSignal({ value: undefined, error: null, loading: true });
  const refresh = useRef(() => {});
  useEffect(() => {
    let stopped = false;
    let timer = 0;
    let abort = new AbortController();
    const run = async () => {
      clearTimeout(timer);
      abort.abort();
      const mine = abort = new AbortController();
      try {
        const value = await load(mine.signal);
        if (!stopped && mine === abort) state.value = { value, error: null, loading: false };
      } catch (error) {
        if (!stopped && mine === abort && error.name !== "AbortError")
          state.value = { value: state.peek().value, error, loading: false };
      }
      if (!stopped && mine === abort && everyMs) timer = setTimeout(tick, everyMs);
    };
    const tick = () => { if (document.hidden) timer = setTimeout(tick, everyMs); else run(); };
    const seen = () => { if (!document.hidden && everyMs) run(); };
    refresh.current = run;
    state.value = { ...state.peek(), loading: true };
    run();
    document.addEventListener("visibilitychange", seen);
    let due = 0;
    let last = Date.now();
    const soon = () => {
      if (!due) due = setTimeout(() => { due = 0; last = Date.now(); run(); }, Math.max(60, changesMs - (Date.now() - last)));
    };
    const deaf = changesMs ? onChanges(soon) : () => {};
    return () => {
      stopped = true;
      deaf();
      clearTimeout(due);
      clearTimeout(timer);
      abort.abort();
      document.removeEventListener("visibilitychange", seen);
    };
  }, inputs);
  return { ...state.value, refresh: () => refresh.current() };
}
