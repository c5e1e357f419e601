// Lays graphs out beside the page, so that it never stands still.
import { layoutScope } from "./layered.js";

onmessage = ({ data: { id, scope } }) => {
  const started = performance.now();
  try {
    postMessage({ id, layout: layoutScope(scope), milliseconds: performance.now() - started });
  } catch (error) {
    postMessage({ id, error: String(error) });
  }
};
