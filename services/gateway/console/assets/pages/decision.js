// Why a mode was chosen: every factor with its value against its limit.
import { html, names } from "../lib/html.js";
import { span } from "../lib/time.js";

const TITLES = {
  nodeCount: "Nodes", estimatedDuration: "Estimated time", humanInput: "Asks a person", externalCallsInLoops: "Outside calls with loops",
  executorBusy: "Executor busy",
};

export function Decision({ complexity }) {
  const { factors } = complexity;
  return html`<div class="decision">
    <p>${complexity.explanation}</p>
    ${complexity.requestedMode !== "auto" && complexity.requestedMode !== "unspecified" && html`<p class="muted">The caller asked for ${complexity.requestedMode}.</p>`}
    <table class="factors"><thead class="hidden"><tr><th>Factor</th><th>Value</th><th>Limit</th><th>Asks for the queue</th></tr></thead><tbody>
      ${factors.map((factor) => html`<tr key=${factor.name} class=${names({ fired: factor.fired })} title=${factor.explanation}>
        <th scope="row">${TITLES[factor.name] ?? words(factor.name)}</th>
        <td class="num">${shown(factor, factor.value)}</td>
        <td><${Gauge} factor=${factor} /></td>
        <td class="muted num">${typeof factor.threshold === "number" ? `limit ${shown(factor, factor.threshold)}` : ""}</td>
        <td>${factor.fired ? html`<b>queue</b>` : html`<span class="muted">fine</span>`}</td></tr>`)}
    </tbody></table>
    <p class="muted small">${complexity.maxParallelPaths} at once at most · ${complexity.externalCallCount} outside calls · ${complexity.loopCount} loops</p>
  </div>`;
}

const words = (name) => name.replace(/[A-Z]/g, (letter) => ` ${letter.toLowerCase()}`).replace(/^./, (letter) => letter.toUpperCase());

function shown(factor, value) {
  if (typeof value === "boolean") return value ? "yes" : "no";
  if (typeof value === "number" && /duration|wait|time/i.test(factor.name)) return span(value);
  return value === undefined || value === null ? "" : typeof value === "object" ? JSON.stringify(value) : String(value);
}

/** The limit stands at two thirds of the bar. */
function Gauge({ factor }) {
  if (typeof factor.value !== "number" || typeof factor.threshold !== "number" || !factor.threshold) return null;
  const share = Math.min(1, (factor.value / factor.threshold) * 0.66);
  return html`<span class="gauge" aria-hidden="true"><span style=${{ width: `${Math.max(1, share * 100)}%` }}></span><i></i></span>`;
}
