// A card for the token, when the gateway asks who is there.
import { html, useRef } from "../lib/html.js";
import { signIn, token } from "../lib/api.js";

export function SignIn() {
  const field = useRef(null);
  const submit = (event) => { event.preventDefault(); signIn(field.current.value); };
  return html`<main class="sign-in"><form class="card" onSubmit=${submit}>
    <img src=${new URL("../icon.svg", import.meta.url).pathname} alt="" width="36" height="36" />
    <h1>Sign in</h1>
    <p class="muted">${token.value ? "This token was not accepted. It may have expired or been withdrawn." : "This engine wants to know who is asking."}</p>
    <label class="field"><span>Access token</span>
      <input ref=${field} type="password" name="token" autocomplete="current-password" required autofocus spellcheck="false" /></label>
    <p class="muted small">It is kept in this tab only and sent to this gateway alone.</p>
    <button type="submit" class="button primary">Sign in</button>
  </form></main>`;
}
