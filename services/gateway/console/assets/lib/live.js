// Values that are fetched again and again while somebody looks.
import { useEffect, useRef, useSignal } from "./html.js";

/**
 * {value, error, loading, refresh}: what `load(abortSignal)` gave last, fetched anew when `inputs` change and
 * every `everyMs` while the page is visible. The last value stays until there is a newer one.
 */
export function usePolled(load, inputs, everyMs = 0) {
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
    return () => {
      stopped = true;
      clearTimeout(timer);
      abort.abort();
      document.removeEventListener("visibilitychange", seen);
    };
  }, inputs);
  return { ...state.value, refresh: () => refresh.current() };
}
