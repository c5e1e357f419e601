// A workflow definition as the console reads it: what React Flow gives is taken as it is.

const DEEPEST = 8;

/**
 * {nodes, edges, byId, children}: nodes in declaration order with {id, type, name, parent, config, raw, pointer};
 * children: ids by the id of their container, "" at the top. The nodes of a sub-flow stand under its node, and
 * their ids are paths: price/lookup. Broken parts are left out, never thrown at.
 */
export function graphOf(definition) {
  const graph = { nodes: [], edges: [], byId: new Map(), children: new Map([["", []]]) };
  read(definition, graph, "", "", 0);
  return graph;
}

function read(definition, graph, around, pointer, depth) {
  const prefix = around ? `${around}/` : "";
  const found = [];
  list(definition?.nodes).forEach((node, index) => {
    if (!node || typeof node.id !== "string" || graph.byId.has(prefix + node.id)) return;
    const read = {
      id: prefix + node.id,
      type: String(node.type ?? ""),
      name: String(node.name || node.data?.label || node.id),
      parent: typeof node.parentId === "string" ? prefix + node.parentId : around,
      config: configOf(node),
      raw: node,
      pointer: `${pointer}/nodes/${index}`,
    };
    found.push(read);
    graph.byId.set(read.id, read);
  });
  for (const node of found) {
    if (!graph.byId.has(node.parent) || node.parent === node.id) node.parent = around;
    graph.nodes.push(node);
    if (!graph.children.has(node.parent)) graph.children.set(node.parent, []);
    graph.children.get(node.parent).push(node.id);
    if (node.type === "flow.subflow" && Array.isArray(node.config.workflow?.nodes) && depth < DEEPEST) {
      read(node.config.workflow, graph, node.id, `${node.pointer}/${node.raw.config ? "config" : "data/config"}/workflow`, depth + 1);
    }
  }
  for (const edge of list(definition?.edges)) {
    const [source, target] = [graph.byId.get(prefix + edge?.source), graph.byId.get(prefix + edge?.target)];
    if (source && target && source.parent === target.parent) graph.edges.push({ source: source.id, target: target.id, handle: edge.sourceHandle ?? "" });
  }
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
