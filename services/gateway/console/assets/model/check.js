// Looks a definition over while it is written: its syntax here, the rest by the engine.
import { useEffect, useState } from "../lib/html.js";
import { Problem, post, send } from "../lib/api.js";
import { parse } from "../lib/exact-json.js";
import { lineOf, placeOf, placesOf } from "./json-places.js";

const PAUSE_MS = 250;

/** Marks for problems: [{path, message, hint, start, end, line}] */
function marked(problems, places, text) {
  return problems.map((problem) => {
    const unknownField = problem.code === "UNKNOWN_FIELD" && places.get(problem.path)?.key;
    const place = unknownField || placeOf(places, problem.path, text);
    return { ...problem, ...place, line: lineOf(text, place.start) };
  });
}

/** {state: "checking" | "syntax" | "invalid" | "valid", marks, definition, places, complexity} of a text. */
export async function checked(text, abort) {
  const { places, error } = placesOf(text);
  if (error) {
    const mark = { path: "", code: "SYNTAX", message: `This is not JSON: ${error.message}.`, start: error.offset, end: error.offset + 1, line: lineOf(text, error.offset) };
    return { state: "syntax", marks: [mark], places, definition: null, complexity: null };
  }
  const definition = parse(text);
  const answer = await (await send("POST", "/api/workflow/validate", { text, signal: abort })).json();
  const marks = marked(answer.problems, places, text);
  if (!answer.valid) return { state: "invalid", marks, places, definition, complexity: null };
  const analysis = await send("POST", "/api/workflow/analyze", { text: `{"workflow": ${text}}`, signal: abort })
    .then((response) => response.json(), (problem) => { if (problem.name === "AbortError") throw problem; return {}; });
  return { state: "valid", marks, places, definition, complexity: analysis.complexity ?? null };
}

/** The newest verdict on a text; the one before stays until there is another. */
export function useChecked(text) {
  const [verdict, setVerdict] = useState({ state: "checking", marks: [], places: new Map(), definition: null, complexity: null, text: "" });
  const [error, setError] = useState(null);
  useEffect(() => {
    const abort = new AbortController();
    const timer = setTimeout(() => {
      checked(text, abort.signal).then((next) => { setVerdict({ ...next, text }); setError(null); },
        (problem) => { if (problem.name !== "AbortError") setError(problem); });
    }, verdict.text ? PAUSE_MS : 0);
    return () => { clearTimeout(timer); abort.abort(); };
  }, [text]);
  return { ...verdict, fresh: verdict.text === text, error };
}

/** Which mode a run would get with this input; null when it would be refused. */
export async function analysed(body, abort) {
  try {
    return (await post("/api/workflow/analyze", body, { signal: abort })).complexity;
  } catch (problem) {
    if (problem instanceof Problem) return null;
    throw problem;
  }
}
