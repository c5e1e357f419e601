// A page that breaks does not take the rest with it.
import { Component } from "preact";
import { html } from "../lib/html.js";
import { Button } from "./basics.js";

export class Boundary extends Component {
  state = { broken: null };

  static getDerivedStateFromError(broken) { return { broken }; }

  componentDidCatch(error) { console.error(error); }

  render() {
    if (!this.state.broken) return this.props.children;
    return html`<div class="page"><h1>This page broke</h1><p class="gap">It is a mistake of the console, the engine goes on: <code>${String(this.state.broken.message ?? this.state.broken)}</code></p>
      <${Button} onClick=${() => this.setState({ broken: null })}>Show it again<//></div>`;
  }
}
