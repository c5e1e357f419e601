// Calls to the gateway that this page came from. Refusals are thrown as Problem.
import { signal } from "./html.js";
import { parse, stringify } from "./exact-json.js";

/** Whether the gateway wants to know who is asking. */
export const mustSignIn = signal(false);
/** Whether the last call got any answer at all. */
export const reachable = signal(true);
/** {subject, namespace, role, methods, authenticationRequired}; null until it is known. */
export const session = signal(null);

/** Asks whom the engine takes this browser for. The token itself is in a cookie that no script can read. */
export async function meet() {
  session.value = await get("/api/session").catch(() => null);
}

/** Raises Problem when the token is not accepted. */
export async function signIn(token) {
  session.value = await call("POST", "/api/session", { body: { token } });
  mustSignIn.value = false;
}

export async function signOut() {
  await send("DELETE", "/api/session");
  session.value = null;
  mustSignIn.value = true;
}

/** Whether this caller may call an RPC, such as "ExecutionService/CancelExecution"; unknown counts as yes. */
export const may = (method) => !session.value || session.value.methods.includes(method);

/** A call that was refused. status 0: nobody answered. */
export class Problem extends Error {
  constructor(status, document) {
    super(document.detail ?? document.title ?? `HTTP ${status}`);
    this.name = "Problem";
    this.status = status;
    this.reason = document.reason ?? "";
    this.problems = document.problems ?? [];
    this.details = document.details ?? {};
    this.requestId = document.requestId ?? "";
  }
}

/** fetch that throws Problem unless the answer is 2xx. `body` is a value, `text` is JSON text as it is. */
export async function send(method, path, { body, text, headers, signal: abort } = {}) {
  const content = text ?? (body === undefined ? undefined : stringify(body));
  let response;
  try {
    response = await fetch(path, {
      method, signal: abort, body: content,
      headers: { ...(content === undefined ? {} : { "Content-Type": "application/json" }), ...headers },
    });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    reachable.value = false;
    throw new Problem(0, { reason: "UNREACHABLE", detail: "The gateway does not answer." });
  }
  reachable.value = response.status !== 503;
  if (response.ok) return response;
  throw await problemOf(response);
}

export async function problemOf(response) {
  if (response.status === 401 && !response.url.endsWith("/api/session")) mustSignIn.value = true;
  return new Problem(response.status, await response.json().catch(() => ({})));
}

/** The answer as a value; undefined when there is none. */
export async function call(method, path, options) {
  const text = await (await send(method, path, options)).text();
  return text ? parse(text) : undefined;
}

export const get = (path, options) => call("GET", path, options);
export const post = (path, body, options) => call("POST", path, { body, ...options });

/** "?a=1&b=2&b=3" of what is set; lists are repeated. */
export function query(values) {
  const pairs = Object.entries(values).flatMap(([name, value]) =>
    (Array.isArray(value) ? value : [value])
      .filter((one) => one !== undefined && one !== null && one !== "").map((one) => [name, String(one)]));
  return pairs.length ? `?${new URLSearchParams(pairs)}` : "";
}

export const executionPath = (id) => `/api/workflow/execution/${encodeURIComponent(id)}`;
