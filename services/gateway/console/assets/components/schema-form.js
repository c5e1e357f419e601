// A form made from a JSON Schema. What it cannot show as fields it shows as JSON. The engine judges the
// answer; its problems appear at the fields that their paths name.
import { html, useState } from "../lib/html.js";
import { parse, stringify } from "../lib/exact-json.js";
import { Button } from "./basics.js";

/** A value to begin with: defaults, constants and what must be there. */
export function initial(schema) {
  if (!schema || typeof schema !== "object") return undefined;
  if ("default" in schema) return schema.default;
  if ("const" in schema) return schema.const;
  if (kindOf(schema) === "object") {
    const value = {};
    for (const [name, part] of Object.entries(schema.properties ?? {})) {
      const inner = initial(part);
      if (inner !== undefined) value[name] = inner;
    }
    return value;
  }
  return undefined;
}

export function kindOf(schema) {
  if (!schema || typeof schema !== "object") return "json";
  if (choicesOf(schema)) return "choice";
  const type = Array.isArray(schema.type) ? schema.type.find((one) => one !== "null") : schema.type;
  if (type === "object" || (!type && schema.properties)) return schema.properties ? "object" : "json";
  if (type === "array") return schema.items && !Array.isArray(schema.items) ? "array" : "json";
  return ["string", "integer", "number", "boolean"].includes(type) ? type : "json";
}

/** [[value, title]] where a schema lists what it takes. */
function choicesOf(schema) {
  if (Array.isArray(schema.enum)) return schema.enum.map((value) => [value, String(value)]);
  const options = schema.oneOf ?? schema.anyOf;
  return Array.isArray(options) && options.length && options.every((one) => one && "const" in one)
    ? options.map((one) => [one.const, one.title ?? String(one.const)]) : null;
}

const escaped = (name) => String(name).replaceAll("~", "~0").replaceAll("/", "~1");

/** problems: [{path, message}] as the gateway gives them. */
export function SchemaForm({ schema, value, change, problems = [], path = "", idPrefix = "f" }) {
  return html`<div class="form"><${Fields} ...${{ schema, value, change, problems, path, idPrefix }} />
    ${unplaced(schema, problems, path).map((problem) => html`<p class="field-error" role="alert" key=${problem.path}><code>${problem.path || "/"}</code> ${problem.message}</p>`)}</div>`;
}

/** Problems that no field shows. */
function unplaced(schema, problems, path) {
  return problems.filter((problem) => {
    if (!problem.path || problem.path === path) return kindOf(schema) === "object";
    return kindOf(schema) === "object" && !Object.keys(schema.properties).some((name) => within(problem.path, `${path}/${escaped(name)}`));
  });
}

const within = (path, prefix) => path === prefix || path.startsWith(`${prefix}/`);

function Fields({ schema, value, change, problems, path, idPrefix }) {
  if (kindOf(schema) !== "object") return html`<${Field} ...${{ schema, value, change, problems, path, idPrefix }} name="" />`;
  const fields = value && typeof value === "object" ? value : {};
  const required = new Set(schema.required ?? []);
  return Object.entries(schema.properties).map(([name, part]) => html`<${Field} key=${name} name=${name} schema=${part} required=${required.has(name)}
    value=${fields[name]} problems=${problems} path="${path}/${escaped(name)}" idPrefix=${idPrefix}
    change=${(next) => { const copy = { ...fields }; if (next === undefined) delete copy[name]; else copy[name] = next; change(copy); }} />`);
}

function Field({ name, schema, required, value, change, problems, path, idPrefix }) {
  const kind = kindOf(schema);
  const id = `${idPrefix}${path.replaceAll("/", "-") || "-value"}`;
  const own = problems.filter((problem) => (["object", "array"].includes(kind) ? problem.path === path : within(problem.path, path)));
  const title = schema.title ?? (name || "Value");
  const label = html`${title}${required ? html`<span class="required" aria-hidden="true"> *</span>` : html` <span class="muted small">optional</span>`}`;
  const below = html`
    ${schema.description && html`<p class="field-hint" id="${id}-hint">${schema.description}</p>`}
    ${own.map((problem) => html`<p class="field-error" role="alert" id="${id}-error" key=${problem.message}>${problem.message}</p>`)}`;
  const attributes = {
    id, "data-path": path, "aria-invalid": own.length ? "true" : undefined, "aria-required": required ? "true" : undefined,
    "aria-describedby": [schema.description && `${id}-hint`, own.length && `${id}-error`].filter(Boolean).join(" ") || undefined,
  };
  if (kind === "object") {
    return html`<fieldset class="group"><legend>${title}</legend>${below}<${Fields} ...${{ schema, value, change, problems, path, idPrefix }} /></fieldset>`;
  }
  if (kind === "array") {
    const items = Array.isArray(value) ? value : [];
    return html`<fieldset class="group"><legend>${label}</legend>${below}
      ${items.map((item, index) => html`<div class="item" key=${index}>
        <${Field} name="${index + 1}" schema=${schema.items} required value=${item} problems=${problems} path="${path}/${index}" idPrefix=${idPrefix}
          change=${(next) => change(items.map((old, at) => (at === index ? next : old)))} />
        <${Button} icon="close" label="Remove ${title} ${index + 1}" onClick=${() => change(items.filter((_, at) => at !== index))} /></div>`)}
      <${Button} icon="plus" onClick=${() => change([...items, initial(schema.items) ?? (kindOf(schema.items) === "string" ? "" : undefined)])}>Add<//></fieldset>`;
  }
  if (kind === "boolean") {
    return html`<div class="field check"><label for=${id}><input type="checkbox" ...${attributes} checked=${value === true} onChange=${(event) => change(event.target.checked)} /> ${title}</label>${below}</div>`;
  }
  return html`<div class="field"><label for=${id}>${label}</label><${Input} ...${{ kind, schema, value, change, attributes }} />${below}</div>`;
}

function Input({ kind, schema, value, change, attributes }) {
  if (kind === "choice") {
    const choices = choicesOf(schema);
    const at = choices.findIndex(([one]) => stringify(one) === stringify(value));
    return html`<select ...${attributes} value=${at < 0 ? "" : String(at)} onChange=${(event) => change(event.target.value === "" ? undefined : choices[event.target.value][0])}>
      <option value="">–</option>${choices.map(([, title], index) => html`<option key=${index} value=${String(index)}>${title}</option>`)}</select>`;
  }
  if (kind === "integer" || kind === "number") return html`<${NumberInput} ...${{ schema, value, change, attributes }} />`;
  if (kind === "json") return html`<${JsonInput} ...${{ value, change, attributes }} />`;
  const long = (schema.maxLength ?? 0) > 300 || schema.format === "textarea";
  const text = (event) => change(event.target.value === "" ? undefined : event.target.value);
  if (long) return html`<textarea ...${attributes} rows="3" value=${value ?? ""} onInput=${text}></textarea>`;
  const type = { email: "email", uri: "url", date: "date", password: "password" }[schema.format] ?? "text";
  return html`<input ...${attributes} type=${type} value=${value ?? ""} onInput=${text} placeholder=${schema.examples?.[0] ?? ""} />`;
}

/** What is no number is kept as text, so that the engine can say so. */
function NumberInput({ schema, value, change, attributes }) {
  const [text, setText] = useState(value === undefined ? "" : String(value));
  const input = (event) => {
    const written = event.target.value.trim();
    setText(event.target.value);
    if (!written) return change(undefined);
    return change(/^-?(0|[1-9]\d*)(\.\d+)?([eE][+-]?\d+)?$/.test(written) ? parse(written) : written);
  };
  const range = [schema.minimum !== undefined && `from ${schema.minimum}`, schema.maximum !== undefined && `to ${schema.maximum}`].filter(Boolean).join(" ");
  return html`<input ...${attributes} inputmode="decimal" value=${text} onInput=${input} placeholder=${range} />`;
}

function JsonInput({ value, change, attributes }) {
  const [text, setText] = useState(value === undefined ? "" : stringify(value, 2));
  const [wrong, setWrong] = useState("");
  const input = (event) => {
    setText(event.target.value);
    try {
      change(event.target.value.trim() ? parse(event.target.value) : undefined);
      setWrong("");
    } catch (error) { setWrong(error.message); }
  };
  return html`<textarea ...${attributes} class="mono" rows="4" spellcheck="false" placeholder="JSON" value=${text} onInput=${input}></textarea>
    ${wrong && html`<p class="field-error" role="alert">${wrong}</p>`}`;
}
