// One execution as its events tell it: what came with the snapshot, and every frame after it.
import { signal } from "../lib/html.js";

export const FINAL = new Set(["completed", "failed", "cancelled"]);
const DONE = new Set(["completed", "failed", "skipped", "cancelled"]);

export const keyOf = (nodeId, iteration = []) => `${nodeId}@${iteration.join(",")}`;

/** How the iterations of one container's step stand. words: status by index, with holes. */
class Iterations {
  constructor(expected) {
    this.expected = expected;
    this.words = [];
    this._cells = new Map();
  }

  note(index, step) {
    const cell = this._cells.get(index) ?? new Map();
    cell.set(step.nodeId, step.status === "failed" && step.handled && step.handled !== "fail" ? "completed" : step.status);
    this._cells.set(index, cell);
    const all = [...cell.values()];
    this.words[index] = ["failed", "running", "waiting"].find((word) => all.includes(word))
      ?? (all.length < this.expected ? "running" : all.every((word) => word === "cancelled") ? "cancelled" : "completed");
  }
}

const NO_ITERATIONS = new Iterations(0);

/**
 * steps: by keyOf. events: all that were seen, by sequence. version changes with anything; `touched` tells
 * listeners which nodes did.
 */
export class Run {
  constructor(execution, graph) {
    this.execution = execution;
    this.graph = graph;
    this.steps = new Map();
    this.events = [];
    this.last = 0;
    this.iterations = new Map(); // container key -> Iterations
    this.version = signal(0);
    this._listeners = new Set();
    this._touched = new Set();
    this._scheduled = false;
    for (const step of execution.steps ?? []) this._adopt(step);
  }

  /** listener(Set of node ids): at most once a frame. Returns a function that ends it. */
  listen(listener) {
    this._listeners.add(listener);
    return () => this._listeners.delete(listener);
  }

  /** Newer facts about the execution as a whole. */
  adopt(execution) {
    const { steps, definition, ...facts } = execution;
    this.execution = { ...this.execution, ...facts, waitingReason: facts.waitingReason, pendingControl: facts.pendingControl };
    for (const step of steps ?? []) this._adopt(step);
    this._announce();
  }

  apply(frames) {
    for (const frame of frames) {
      if (frame.type === "snapshot") { this.adopt(frame.execution); this.last = frame.sequence; continue; }
      if (frame.sequence && frame.sequence <= this.last) continue;
      this.last = frame.sequence;
      this.events.push(frame);
      this._fold(frame);
    }
    this._announce();
  }

  /** Start anew from a whole history; facts that were fetched stay as they are. */
  rebuild(frames) {
    const facts = this.execution;
    this.steps.clear();
    this.iterations.clear();
    this.events = [];
    this.last = 0;
    this.apply(frames);
    const { inputRef, outputRef } = this.execution; // events alone tell these
    this.execution = { ...facts, inputRef, outputRef };
  }

  step(nodeId, iteration) { return this.steps.get(keyOf(nodeId, iteration)); }

  /** Indexes of the iterations of a container's step that have begun, with their status. */
  iterationsOf(nodeId, iteration = []) {
    return this.iterations.get(keyOf(nodeId, iteration)) ?? NO_ITERATIONS;
  }

  /** This run; who reads it while rendering is rendered anew with every change. */
  get watched() { this.version.value; return this; }

  get final() { return FINAL.has(this.execution.status); }

  /** How many steps have each status; nodes that were not reached count as pending. */
  counts() {
    const counts = { completed: 0, failed: 0, running: 0, waiting: 0, skipped: 0, cancelled: 0, pending: 0 };
    const reached = new Set();
    for (const step of this.steps.values()) { counts[step.status] += 1; reached.add(step.nodeId); }
    for (const node of this.graph.nodes) if (!reached.has(node.id)) counts.pending += 1;
    return counts;
  }

  _fold(frame) {
    const { type, time } = frame;
    if (type.startsWith("step.")) return this._foldStep(frame);
    const facts = { ...this.execution };
    switch (type) {
      case "execution.created":
        facts.createdAt ??= time;
        if (frame.inputRef) facts.inputRef = frame.inputRef;
        break;
      case "execution.started": facts.status = "running"; facts.startedAt ??= time; break;
      case "execution.claimed": facts.status = "running"; facts.waitingReason = undefined; break;
      case "execution.promoted": facts.mode = "queued"; facts.status = "pending"; break;
      case "execution.pauseRequested": facts.pendingControl = "pause"; break;
      case "execution.paused": facts.status = "paused"; facts.pendingControl = undefined; break;
      case "execution.resumed": facts.status = "pending"; facts.pendingControl = undefined; break;
      case "execution.cancelRequested": facts.pendingControl = "cancel"; break;
      case "execution.waiting": facts.status = "waiting"; break;
      case "execution.forked":
        for (const kept of frame.kept ?? []) {
          this._put({ ...kept, iteration: kept.iteration ?? [], attempts: kept.attempt ?? 1, status: kept.status ?? "completed", kept: true });
        }
        break;
      case "execution.completed": case "execution.failed": case "execution.cancelled":
        Object.assign(facts, { status: type.slice(10), completedAt: time, pendingControl: undefined, waitingReason: undefined });
        if (frame.error) facts.error = frame.error;
        if ("output" in frame) facts.output = frame.output;
        if (frame.outputRef) facts.outputRef = frame.outputRef;
        for (const step of this.steps.values()) if (!DONE.has(step.status)) this._put({ ...step, status: "cancelled", completedAt: time, waiting: undefined });
        break;
      case "child.started": {
        const step = this.step(frame.nodeId, frame.iteration);
        if (step) this._put({ ...step, childId: frame.childId });
        break;
      }
      case "signal.received": {
        const step = this.step(frame.nodeId, frame.iteration);
        if (step) this._put({ ...step, answered: true });
        break;
      }
    }
    this.execution = facts;
    return undefined;
  }

  _foldStep(frame) {
    const { type, time, nodeId, iteration = [], attempt = 0 } = frame;
    const old = this.step(nodeId, iteration) ?? { nodeId, iteration, attempts: 0, status: "running", tries: [] };
    const step = { ...old, attempts: Math.max(old.attempts, attempt), tries: old.tries ?? [] };
    switch (type) {
      case "step.started":
        Object.assign(step, { status: "running", startedAt: old.startedAt ?? time, completedAt: undefined, waiting: undefined, error: undefined, answered: false });
        if ("input" in frame) step.input = frame.input;
        if (frame.inputRef) step.inputRef = frame.inputRef;
        if (frame.loop) step.loop = frame.loop;
        step.tries = [...step.tries, { attempt, startedAt: time }];
        break;
      case "step.waiting":
        Object.assign(step, { status: "waiting", answered: false, waiting: { kind: "timer", ...frame.wait, until: frame.until } });
        step.waitingSince = time;
        break;
      case "step.retrying":
        Object.assign(step, { status: "waiting", error: frame.error, waiting: { kind: "retry", until: frame.retryAt } });
        step.tries = closed(step.tries, time, frame.error);
        break;
      default: {
        const status = type.slice(5);
        if (!DONE.has(status)) return;
        Object.assign(step, { status, completedAt: time, waiting: undefined, error: frame.error });
        for (const field of ["output", "outputRef", "handle", "handles", "handled", "reason"]) if (field in frame) step[field] = frame[field];
        step.tries = closed(step.tries, time, frame.error);
      }
    }
    this._put(step);
  }

  _adopt(step) {
    const key = keyOf(step.nodeId, step.iteration);
    this._put({ tries: [], ...this.steps.get(key), ...step, iteration: step.iteration ?? [], waiting: step.waiting, error: step.error });
  }

  _put(step) {
    this.steps.set(keyOf(step.nodeId, step.iteration), step);
    this._touched.add(step.nodeId);
    const parent = this.graph.byId.get(step.nodeId)?.parent;
    if (parent && step.iteration.length) this._mark(parent, step);
  }

  /** Keep what an iteration's cell shows up to date. */
  _mark(container, step) {
    const key = keyOf(container, step.iteration.slice(0, -1));
    const index = step.iteration.at(-1);
    if (!this.iterations.has(key)) this.iterations.set(key, new Iterations(this.graph.children.get(container)?.length ?? 0));
    this.iterations.get(key).note(index, step);
    this._touched.add(container);
  }

  _announce() {
    if (this._scheduled) return;
    this._scheduled = true;
    const tell = () => {
      if (!this._scheduled) return;
      this._scheduled = false;
      const touched = this._touched;
      this._touched = new Set();
      for (const listener of this._listeners) listener(touched);
      this.version.value += 1;
    };
    // A hidden page gets no frames, but its title still tells how things stand.
    if (document.hidden) setTimeout(tell, 250);
    else requestAnimationFrame(tell);
  }
}

function closed(tries, time, error) {
  const last = tries.at(-1);
  return last ? [...tries.slice(0, -1), { ...last, completedAt: time, error }] : tries;
}

/**
 * Which iteration of each container is looked at: chosen ones, else the one that wants attention most.
 * Returns the iteration path of the node's own scope.
 */
export function pathOf(run, containers, chosen) {
  const path = [];
  for (const container of containers) {
    const cells = run.iterationsOf(container, path);
    const wanted = chosen.get(keyOf(container, path)) ?? chosen.get(container);
    path.push(wanted ?? interesting(cells));
  }
  return path;
}

function interesting({ words }) {
  for (const word of ["failed", "waiting", "running"]) {
    const index = words.indexOf(word);
    if (index >= 0) return index;
  }
  return Math.max(0, words.findIndex((word) => word !== undefined));
}
