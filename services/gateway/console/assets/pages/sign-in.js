// A card for the token, or the way to the identity provider, when the gateway asks who is there.
import { html, useEffect, useRef, useState } from "../lib/html.js";
import { session, signIn } from "../lib/api.js";
import { leaveFor, lost, possible, provider } from "../lib/provider.js";
import { Trouble } from "../components/basics.js";

export function SignIn() {
  const field = useRef(null);
  const [problem, setProblem] = useState(null);
  const [busy, setBusy] = useState(false);
  const [elsewhere, setElsewhere] = useState(null);
  useEffect(() => { provider().then(setElsewhere); }, []);
  const submit = async (event) => {
    event.preventDefault();
    setBusy(true);
    try { await signIn(field.current.value.trim()); } catch (error) { setProblem(error); setBusy(false); field.current.select(); }
  };
  return html`<main class="sign-in"><form class="card" onSubmit=${submit}>
    <img src=${new URL("../icon.svg", import.meta.url).pathname} alt="" width="36" height="36" />
    <h1>Sign in</h1>
    <p class="muted">${session.value ? "Your session has ended." : "This engine wants to know who is asking."}</p>
    ${elsewhere && possible() && html`<${Trouble} error=${lost.value} />
      <button type="button" class="button primary" onClick=${() => leaveFor(elsewhere)}>Sign in with ${new URL(elsewhere.issuer).host}</button>
      <p class="muted small">Or with an access token of this engine:</p>`}
    <label class="field"><span>Access token</span>
      <input ref=${field} type="password" name="token" autocomplete="current-password" required autofocus spellcheck="false" aria-invalid=${problem ? "true" : undefined} /></label>
    <${Trouble} error=${problem?.status === 401 ? { message: "This token is not accepted. It may have expired or been revoked." } : problem} />
    <p class="muted small">It is kept in a cookie that pages cannot read, and sent to this gateway alone.</p>
    <button type="submit" class=${elsewhere ? "button" : "button primary"} aria-busy=${busy ? "true" : undefined} disabled=${busy}>Sign in</button>
  </form></main>`;
}
