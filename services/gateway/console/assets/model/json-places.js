// Where in a JSON text things are: for marking a problem at its place, and for saying where a text breaks off
// being JSON. One pass, without building the value.

/**
 * {places: Map(JSON Pointer -> {start, end, key?}), error}: offsets into the text; key is where the name of the
 * field stands. error: {offset, message} or null; places before it are known all the same.
 */
export function placesOf(text) {
  const places = new Map();
  let at = 0;

  const fail = (message, offset = at) => { throw Object.assign(new Error(message), { offset }); };
  const blank = () => { while (at < text.length && " \t\n\r".includes(text[at])) at += 1; };

  const string = () => {
    const start = at;
    at += 1;
    for (;;) {
      if (at >= text.length || text[at] === "\n") fail("this text never ends", start);
      if (text[at] === "\\") { at += 2; continue; }
      if (text[at] === '"') { at += 1; break; }
      at += 1;
    }
    try { return JSON.parse(text.slice(start, at)); } catch { return fail("this text has a wrong escape", start); }
  };

  const value = (pointer, depth) => {
    blank();
    if (depth > 200) fail("this is nested too deeply");
    const start = at;
    const place = { start, end: start };
    places.set(pointer, place);
    const sign = text[at];
    if (sign === "{") object(pointer, depth);
    else if (sign === "[") list(pointer, depth);
    else if (sign === '"') string();
    else {
      const word = /^(?:true|false|null|-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?)/.exec(text.slice(at, at + 400));
      if (!word) fail(at >= text.length ? "a value is missing at the end" : `a value is missing before ${JSON.stringify(text[at])}`);
      at += word[0].length;
    }
    place.end = at;
  };

  const object = (pointer, depth) => {
    at += 1;
    blank();
    if (text[at] === "}") { at += 1; return; }
    for (;;) {
      blank();
      if (text[at] !== '"') fail(text[at] === "}" ? "there is a comma too many before this" : "the name of a field is missing here, in double quotes");
      const key = { start: at };
      const name = string();
      key.end = at;
      blank();
      if (text[at] !== ":") fail("a colon is missing before this");
      at += 1;
      const path = `${pointer}/${name.replaceAll("~", "~0").replaceAll("/", "~1")}`;
      value(path, depth + 1);
      places.get(path).key = key;
      blank();
      if (text[at] === ",") { at += 1; continue; }
      if (text[at] === "}") { at += 1; return; }
      fail(at >= text.length ? "a closing } is missing" : "a comma or } is missing before this");
    }
  };

  const list = (pointer, depth) => {
    at += 1;
    blank();
    if (text[at] === "]") { at += 1; return; }
    for (let index = 0; ; index += 1) {
      blank();
      if (text[at] === "]") fail("there is a comma too many before this");
      value(`${pointer}/${index}`, depth + 1);
      blank();
      if (text[at] === ",") { at += 1; continue; }
      if (text[at] === "]") { at += 1; return; }
      fail(at >= text.length ? "a closing ] is missing" : "a comma or ] is missing before this");
    }
  };

  try {
    value("", 0);
    blank();
    if (at < text.length) fail("there is more after the end of the value");
    return { places, error: null };
  } catch (error) {
    if (error.offset === undefined) throw error;
    return { places, error: { offset: Math.min(error.offset, Math.max(0, text.length - 1)), message: error.message } };
  }
}

/** The place of a pointer, or of the nearest part around it that is there; a container by its first line. */
export function placeOf(places, pointer, text) {
  for (let path = pointer; ; path = path.slice(0, path.lastIndexOf("/"))) {
    const place = places.get(path);
    if (place) {
      const exact = path === pointer;
      if (!exact && place.key) return place.key;
      const line = text.indexOf("\n", place.start);
      const end = line >= 0 && line < place.end ? line : place.end;
      return { start: place.start, end: Math.max(place.start + 1, end) };
    }
    if (!path) return { start: 0, end: Math.min(1, text.length) };
  }
}

/** Line of an offset, from 1. */
export function lineOf(text, offset) {
  let line = 1;
  for (let at = text.indexOf("\n"); at >= 0 && at < offset; at = text.indexOf("\n", at + 1)) line += 1;
  return line;
}
