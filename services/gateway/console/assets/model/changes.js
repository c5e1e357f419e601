// The stream over all executions, shared by every page that wants to know: one connection for the tab.
import { follow } from "../lib/stream.js";

const listeners = new Set();
let stop = null;

/** listener(frames): changes as they come. Returns a function that ends it. */
export function onChanges(listener) {
  listeners.add(listener);
  stop ??= follow("/api/workflow/stream", {
    frames: (frames) => { for (const one of listeners) one(frames.filter((frame) => frame.type === "execution.changed")); },
    state: (word) => { if (word === "live") for (const one of listeners) one([]); },
  });
  return () => {
    listeners.delete(listener);
    setTimeout(() => { if (!listeners.size && stop) { stop(); stop = null; } }, 1000);
  };
}
