// Calls to the gateway that this page came from. Refusals are thrown as Problem.
import { signal } from "./html.js";
import { parse, stringify } from "./exact-json.js";

const TOKEN = "flow.token";

/** Bearer token of this tab; "" without one. */
export const token = signal(sessionStorage.getItem(TOKEN) ?? "");
/** Whether the gateway wants to know who is asking. */
export const mustSignIn = signal(false);
/** Whether the last call got any answer at all. */
export const reachable = signal(true);

export function signIn(text) {
  token.value = text.trim();
  if (token.value) sessionStorage.setItem(TOKEN, token.value);
  else sessionStorage.removeItem(TOKEN);
  mustSignIn.value = false;
}

export function signOut() {
  signIn("");
  mustSignIn.value = true;
}

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

export function authorized(headers = {}) {
  return token.value ? { ...headers, Authorization: `Bearer ${token.value}` } : headers;
}

/** fetch that throws Problem unless the answer is 2xx. `body` is a value, `text` is JSON text as it is. */
export async function send(method, path, { body, text, headers, signal: abort } = {}) {
  const content = text ?? (body === undefined ? undefined : stringify(body));
  let response;
  try {
    response = await fetch(path, {
      method, signal: abort, body: content,
      headers: authorized({ ...(content === undefined ? {} : { "Content-Type": "application/json" }), ...headers }),
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
  if (response.status === 401) mustSignIn.value = true;
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
