// Layered layout from left to right. Containers that are open hold a layout of their own.
//
// Small graphs go through dagre, which bends long edges around nodes. Large or very wide ones would become a
// tower a hundred screens high: their layers are folded into blocks of several columns, so that the whole has
// the shape of a screen; that takes milliseconds even for thousands of nodes.
import { graphlib, layout as dagre } from "../vendor/dagre.mjs";

export const GAP = { across: 18, along: 46, header: 40, padding: 18 };
const FOLD_FROM_NODES = 220;
const FOLD_FROM_LAYER = 26;
const LABEL = 62;
const SHAPE = 1.7; // width to height

/**
 * scope: {nodes: [{id, width, height, header?, scope?}], edges: [{source, target, handle}]}.
 * Returns {width, height, nodes: {id: {x, y, width, height}}, edges: [{source, target, handle, points, label?}]}, with
 * (x, y) the upper left corner; points are absolute, from the right side of the source to the left of the target.
 */
export function layoutScope(scope) {
  const inner = new Map();
  const nodes = scope.nodes.map((node) => {
    if (!node.scope) return node;
    const inside = layoutScope(node.scope);
    inner.set(node.id, inside);
    return {
      ...node,
      width: Math.max(node.width, inside.width + 2 * GAP.padding),
      height: inside.height + (node.header ?? GAP.header) + GAP.padding,
    };
  });
  const layers = layersOf(nodes, scope.edges);
  const widest = Math.max(0, ...layers.map((layer) => layer.length));
  const placed = nodes.length > FOLD_FROM_NODES || widest > FOLD_FROM_LAYER
    ? folded(nodes, scope.edges, layers) : byDagre(nodes, scope.edges);
  for (const node of nodes) {
    const inside = inner.get(node.id);
    if (!inside) continue;
    const at = placed.nodes[node.id];
    const [x, y] = [at.x + GAP.padding, at.y + (node.header ?? GAP.header)];
    for (const [id, box] of Object.entries(inside.nodes)) placed.nodes[id] = { ...box, x: box.x + x, y: box.y + y };
    const moved = (point) => ({ x: point.x + x, y: point.y + y });
    for (const edge of inside.edges) placed.edges.push({ ...edge, points: edge.points.map(moved), ...(edge.label ? { label: moved(edge.label) } : {}) });
  }
  return placed;
}

function byDagre(nodes, edges) {
  const graph = new graphlib.Graph({ multigraph: true });
  graph.setGraph({ rankdir: "LR", nodesep: GAP.across, ranksep: GAP.along, edgesep: 10,
    ranker: nodes.length > 120 ? "tight-tree" : "network-simplex" });
  graph.setDefaultEdgeLabel(() => ({}));
  for (const node of nodes) graph.setNode(node.id, { width: node.width, height: node.height });
  edges.forEach((edge, index) => graph.setEdge(edge.source, edge.target, labelOf(edge), String(index)));
  if (nodes.length) dagre(graph);
  const places = {};
  for (const node of nodes) {
    const { x, y } = graph.node(node.id);
    places[node.id] = { x: x - node.width / 2, y: y - node.height / 2, width: node.width, height: node.height };
  }
  return {
    nodes: places,
    edges: edges.map((edge, index) => {
      const { points, x, y } = graph.edge(edge.source, edge.target, String(index));
      const spans = places[edge.target].x - places[edge.source].x - places[edge.source].width > GAP.along * 2 + LABEL;
      return { ...edge, points: ends(places, edge, spans ? points.slice(1, -1) : []), ...(edge.handle ? { label: { x, y } } : {}) };
    }),
    width: nodes.length ? graph.graph().width : 0,
    height: nodes.length ? graph.graph().height : 0,
  };
}

/** Room for the name of the way out. */
function labelOf({ handle }) {
  return handle ? { width: Math.min(LABEL, handle.length * 6 + 10), height: 14, labelpos: "c" } : {};
}

function ends(places, edge, bends) {
  const [from, to] = [places[edge.source], places[edge.target]];
  return [{ x: from.x + from.width, y: from.y + from.height / 2 }, ...bends, { x: to.x, y: to.y + to.height / 2 }];
}

/** Nodes by the length of the longest way to them. */
export function layersOf(nodes, edges) {
  const open = new Map(nodes.map((node) => [node.id, 0]));
  const out = new Map(nodes.map((node) => [node.id, []]));
  for (const edge of edges) {
    open.set(edge.target, open.get(edge.target) + 1);
    out.get(edge.source).push(edge.target);
  }
  const level = new Map();
  let ready = nodes.filter((node) => !open.get(node.id)).map((node) => node.id);
  for (const id of ready) level.set(id, 0);
  while (ready.length) {
    const next = [];
    for (const id of ready) {
      for (const target of out.get(id)) {
        level.set(target, Math.max(level.get(target) ?? 0, level.get(id) + 1));
        open.set(target, open.get(target) - 1);
        if (!open.get(target)) next.push(target);
      }
    }
    ready = next;
  }
  const layers = [];
  for (const node of nodes) (layers[level.get(node.id) ?? 0] ??= []).push(node);
  return Array.from(layers, (layer) => layer ?? []);
}

function folded(nodes, edges, layers) {
  ordered(layers, edges);
  const rows = rowsFor(layers);
  const places = {};
  let x = 0;
  let tallest = 0;
  for (const layer of layers) {
    for (let at = 0; at < layer.length; at += rows) {
      const column = layer.slice(at, at + rows);
      const height = column.reduce((sum, node) => sum + node.height + GAP.across, -GAP.across);
      let y = -height / 2;
      for (const node of column) {
        places[node.id] = { x, y, width: node.width, height: node.height };
        y += node.height + GAP.across;
      }
      tallest = Math.max(tallest, height);
      x += Math.max(...column.map((node) => node.width)) + GAP.across;
    }
    x += GAP.along - GAP.across + Math.min(120, layer.length);
  }
  for (const place of Object.values(places)) place.y += tallest / 2;
  return {
    nodes: places,
    edges: edges.map((edge) => ({ ...edge, points: ends(places, edge, []) })),
    width: Math.max(0, x - GAP.along),
    height: tallest,
  };
}

/** Rows of a folded layer, so that the whole has about the shape of a screen. */
function rowsFor(layers) {
  const most = Math.max(1, ...layers.map((layer) => layer.length));
  let best = most;
  let bestMiss = Infinity;
  for (let rows = 4; rows <= most; rows += 1) {
    const columns = layers.reduce((sum, layer) => sum + Math.ceil(layer.length / rows), 0);
    const miss = Math.abs(Math.log((columns * 200 + layers.length * GAP.along) / (rows * 62) / SHAPE));
    if (miss < bestMiss) [best, bestMiss] = [rows, miss];
  }
  return best;
}

/** Sorts every layer by where its neighbours stand, back and forth, so that edges cross less. */
function ordered(layers, edges) {
  const before = new Map();
  const after = new Map();
  for (const { source, target } of edges) {
    if (!before.has(target)) before.set(target, []);
    if (!after.has(source)) after.set(source, []);
    before.get(target).push(source);
    after.get(source).push(target);
  }
  const rank = new Map();
  const note = (layer) => layer.forEach((node, index) => rank.set(node.id, index / layer.length));
  layers.forEach(note);
  const sort = (layer, neighbours) => {
    const weight = new Map(layer.map((node) => {
      const near = neighbours.get(node.id) ?? [];
      return [node.id, near.length ? near.reduce((sum, id) => sum + rank.get(id), 0) / near.length : rank.get(node.id)];
    }));
    layer.sort((a, b) => weight.get(a.id) - weight.get(b.id));
    note(layer);
  };
  for (let sweep = 0; sweep < 6; sweep += 1) {
    if (sweep % 2 === 0) for (const layer of layers) sort(layer, before);
    else for (let at = layers.length - 1; at >= 0; at -= 1) sort(layers[at], after);
  }
}
