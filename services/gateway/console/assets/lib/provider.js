// Signing in with an identity provider: an authorization code, with PKCE. The token never comes here.
import { call, get, mustSignIn, session } from "./api.js";
import { signal } from "./html.js";

const KEPT = "flow.signing-in";
/** Why the way back from the provider led nowhere. */
export const lost = signal(null);

/** {issuer, authorizationEndpoint, clientId, scope}, or null where people sign in with tokens alone. */
export const provider = () => get("/api/session/provider").catch(() => null);

const page = () => `${location.origin}/`;

/** Leaves for the provider. What proves that the answer is ours stays in this tab. */
export async function leaveFor({ authorizationEndpoint, clientId, scope }) {
  const verifier = random(), state = random();
  sessionStorage.setItem(KEPT, JSON.stringify({ verifier, state, place: location.hash }));
  const url = new URL(authorizationEndpoint);
  const said = {
    response_type: "code", client_id: clientId, redirect_uri: page(), scope, state,
    code_challenge: base64url(await crypto.subtle.digest("SHA-256", new TextEncoder().encode(verifier))),
    code_challenge_method: "S256",
  };
  for (const [name, value] of Object.entries(said)) url.searchParams.set(name, value);
  location.assign(url);
}

/** Browsers make digests only where nobody listens on the way. */
export const possible = () => Boolean(globalThis.crypto?.subtle);

/** Ends what `leaveFor` began, if this page is the way back. What the provider said leaves the address at once. */
export async function comeBack() {
  const said = new URLSearchParams(location.search);
  if (!said.has("state")) return;
  const kept = JSON.parse(sessionStorage.getItem(KEPT) ?? "null");
  sessionStorage.removeItem(KEPT);
  history.replaceState(null, "", `/${kept?.place ?? ""}`);
  if (!kept || said.get("state") !== kept.state) return give("This sign-in was not begun here. Begin again.");
  if (!said.has("code")) return give(said.get("error_description") ?? "The identity provider let nobody in.");
  try {
    const body = { code: said.get("code"), codeVerifier: kept.verifier, redirectUri: page() };
    session.value = await call("POST", "/api/session/provider", { body });
  } catch (error) { give(error.message); }
}

function give(message) {
  lost.value = { message };
  mustSignIn.value = true;
}

const random = () => base64url(crypto.getRandomValues(new Uint8Array(32)));

const base64url = (bytes) =>
  btoa(String.fromCharCode(...new Uint8Array(bytes))).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
