// Makes conformance.json from the npm package @bufbuild/cel-spec (Apache-2.0):
//   npm pack @bufbuild/cel-spec@0.6.1 && tar xzf bufbuild-cel-spec-0.6.1.tgz && node extract.cjs package > conformance.json
// Left out is what concerns protocol buffer messages and not JSON values: messages, enums, wrappers, extension
// fields, containers for their names, and tests of the type checker alone. Everything else is kept.
const path = require("node:path");
const root = path.resolve(process.argv[2]);
const { tests } = require(path.join(root, "dist/cjs/testdata/conformance.js"));
const { version, license, upstreamCelSpecRef } = require(path.join(root, "package.json"));

const MESSAGES = new Set(["proto2", "proto2_ext", "proto3", "enums", "wrappers", "dynamic", "block_ext"]);
const MESSAGE_TEXT = /AllTypes|google\.protobuf\.\w+\s*\{|google\.protobuf\.(?!Timestamp|Duration)|proto[23]\.|cel\.@|tuple\(/;

function tagged(value) {
  const [kind, inner] = Object.entries(value)[0] ?? ["nullValue", null];
  switch (kind) {
    case "nullValue": return null;
    case "boolValue": case "stringValue": return inner;
    case "int64Value": return { int: inner };
    case "uint64Value": return { uint: inner };
    case "doubleValue": return { double: Object.is(inner, -0) ? "-0.0" : String(inner) };
    case "bytesValue": return { bytes: inner };
    case "typeValue": return { type: inner };
    case "listValue": return (inner.values ?? []).map(tagged);
    case "mapValue": return { map: (inner.entries ?? []).map((e) => [tagged(e.key), tagged(e.value)]) };
    case "objectValue": {
      const type = inner["@type"].split("/").pop();
      if (type === "google.protobuf.Timestamp") return { timestamp: inner.value };
      if (type === "google.protobuf.Duration") return { duration: inner.value };
    }
  }
  return undefined;
}

const cases = [];
const leftOut = {};
function visit(suite, names) {
  for (const inner of suite.suites ?? []) visit(inner, [...names, inner.name]);
  for (const { original: test } of suite.tests ?? []) {
    const bindings = Object.entries(test.bindings ?? {}).map(([name, { value }]) => [name, tagged(value)]);
    const expected = test.value ?? test.typedResult?.result ?? (test.typedResult ? undefined : { boolValue: true });
    const value = test.evalError || expected === undefined ? undefined : tagged(expected);
    const foreign =
      MESSAGES.has(names[0]) || MESSAGE_TEXT.test(test.expr) || test.checkOnly ||
      (test.container ?? "").includes("proto") && names[0] !== "namespace" && /[A-Z]\w+\{/.test(test.expr) ||
      bindings.some(([, bound]) => bound === undefined) || (!test.evalError && value === undefined);
    if (foreign) { leftOut[names[0]] = (leftOut[names[0]] ?? 0) + 1; continue; }
    cases.push({
      name: [...names, test.name].join("/"), expr: test.expr,
      ...(bindings.length ? { bindings: Object.fromEntries(bindings) } : {}),
      ...(test.evalError ? { error: test.evalError.errors[0].message } : { value }),
    });
  }
}
visit(tests, []);
const head = {
  source: `npm @bufbuild/cel-spec ${version}, conformance tests of cel-spec ${upstreamCelSpecRef}`,
  license: `${license}. Copyright the CEL specification authors and Buf Technologies, Inc. Changed: reduced and rewritten as JSON.`,
  leftOut,
};
console.log(JSON.stringify(head).slice(0, -1) + ',"cases":[\n' + cases.map((c) => JSON.stringify(c)).join(",\n") + "\n]}");
