// Asks the worker for layouts.
const worker = new Worker(new URL("../layout/worker.js", import.meta.url), { type: "module" });
const asked = new Map();
let last = 0;

worker.onmessage = ({ data: { id, layout, milliseconds, error } }) => {
  const { resolve, reject } = asked.get(id);
  asked.delete(id);
  if (error) reject(new Error(error));
  else resolve({ layout, milliseconds });
};

/** scope: as layout/layered.js takes it. */
export function layoutOf(scope) {
  return new Promise((resolve, reject) => {
    last += 1;
    asked.set(last, { resolve, reject });
    worker.postMessage({ id: last, scope });
  });
}
