// What waits for somebody: steps of executions that ask a person or an outside system.
import { executionPath, get, query } from "../lib/api.js";
import { signal } from "../lib/html.js";

const MOST = 100;
const AT_ONCE = 4;
const known = new Map(); // execution id -> {sequence, steps}

/** How many executions wait for a person, "" until it is known; shown beside the inbox. */
export const peopleCount = signal("");

export async function countPeople(abort) {
  const page = await get(`/api/workflow/executions${query({ status: "waiting", limit: MOST })}`, { signal: abort });
  const count = page.executions.filter((one) => one.waitingReason?.kind === "person").length;
  peopleCount.value = count ? `${count}${page.nextPageToken ? "+" : ""}` : "";
  return count;
}

/**
 * [{execution, step}], the longest waiting first. Runs that go on beside a question are looked through too,
 * the newest of them.
 */
export async function loadTasks(abort) {
  const list = (values) => get(`/api/workflow/executions${query(values)}`, { signal: abort }).then((page) => page.executions);
  const [waiting, running] = await Promise.all([list({ status: "waiting,paused", limit: MOST }), list({ status: "running", limit: 20 })]);
  const asked = [...waiting.filter((one) => one.status === "paused" || ["person", "callback"].includes(one.waitingReason?.kind)), ...running];
  const found = [];
  const queue = [...asked];
  await Promise.all(Array.from({ length: AT_ONCE }, async () => {
    for (let execution = queue.shift(); execution; execution = queue.shift()) {
      for (const step of await waitsOf(execution, abort)) found.push({ execution, step });
    }
  }));
  for (const id of known.keys()) if (!asked.some((one) => one.executionId === id)) known.delete(id);
  return found.sort((a, b) => (a.step.startedAt ?? "").localeCompare(b.step.startedAt ?? ""));
}

async function waitsOf({ executionId, lastSequence }, abort) {
  const old = known.get(executionId);
  if (old && old.sequence === lastSequence) return old.steps;
  const execution = await get(executionPath(executionId), { signal: abort }).catch(() => null);
  const steps = (execution?.steps ?? []).filter((step) => step.status === "waiting" && ["person", "callback"].includes(step.waiting?.kind));
  if (execution) known.set(executionId, { sequence: lastSequence, steps });
  return steps;
}
