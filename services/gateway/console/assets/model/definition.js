// A workflow definition as the console reads it: what React Flow gives is taken as it is.

/**
 * {nodes, edges, byId, children}: nodes in declaration order with {id, type, name, parent, config, raw};
 * children: ids by the id of their container, "" at the top. Broken parts are left out, never thrown at.
 */
export function graphOf(definition) {
  const nodes = list(definition?.nodes).filter((node) => node && typeof node.id === "string").map((node) => ({
    id: node.id,
    type: String(node.type ?? ""),
    name: String(node.name || node.data?.label || node.id),
    parent: typeof node.parentId === "string" ? node.parentId : "",
    config: configOf(node),
    raw: node,
  }));
  const byId = new Map(nodes.map((node) => [node.id, node]));
  const children = new Map([["", []]]);
  for (const node of nodes) {
    if (!byId.has(node.parent) || node.parent === node.id) node.parent = "";
    if (!children.has(node.parent)) children.set(node.parent, []);
    children.get(node.parent).push(node.id);
  }
  const edges = list(definition?.edges)
    .filter((edge) => edge && byId.has(edge.source) && byId.has(edge.target)
      && byId.get(edge.source).parent === byId.get(edge.target).parent)
    .map((edge) => ({ source: edge.source, target: edge.target, handle: edge.sourceHandle ?? "" }));
  return { nodes, edges, byId, children };
}

const list = (value) => (Array.isArray(value) ? value : []);

function configOf(node) {
  if (node.config && typeof node.config === "object") return node.config;
  return node.data?.config && typeof node.data.config === "object" ? node.data.config : node.data ?? {};
}

/** Ids of the containers around a node, outermost first. */
export function containersOf(graph, id) {
  const found = [];
  for (let at = graph.byId.get(id)?.parent; at && !found.includes(at); at = graph.byId.get(at)?.parent) found.unshift(at);
  return found;
}
