// Addresses live behind the #, so that any path prefix and any static server will do.
import { html, signal } from "./html.js";

/** {path: ["executions", "id"], query: URLSearchParams} */
export const route = signal(read());

function read() {
  const [path, search = ""] = location.hash.replace(/^#\/?/, "").split("?");
  return { path: path.split("/").filter(Boolean).map(decoded), query: new URLSearchParams(search) };
}

function decoded(part) {
  try { return decodeURIComponent(part); } catch { return part; }
}

addEventListener("hashchange", () => { route.value = read(); });

/** href of a page: link(["executions", id], {step: "a"}). Empty values are left out. */
export function link(path, values = {}) {
  const pairs = Object.entries(values).filter(([, value]) => value !== undefined && value !== null && value !== "");
  const search = pairs.length ? `?${new URLSearchParams(pairs)}` : "";
  return `#/${path.map(encodeURIComponent).join("/")}${search}`;
}

export function go(path, values) { location.hash = link(path, values); }

/** Change the query of this page without a new entry in the history. */
export function refine(values) {
  const merged = { ...Object.fromEntries(route.value.query), ...values };
  history.replaceState(history.state, "", link(route.value.path, merged));
  route.value = read();
}

export function Link({ to, query, children, ...rest }) {
  return html`<a href=${link(to, query)} ...${rest}>${children}</a>`;
}
