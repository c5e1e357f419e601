"""Generated definitions of all control-flow nodes, whose results do not depend on timing.

Every failure is handled, and what a join of some branches puts out depends on no branch:
then how often and where processes die must not show in the result.
"""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

RETRY = {"maxAttempts": 2, "initialIntervalMs": 20}
ANSWER = {"approved": True, "comment": "yes"}
CONTAINERS = ("logic.foreach", "logic.while", "flow.try")

Node = dict[str, Any]


@st.composite
def definitions(draw: st.DrawFn, *, handled: bool = True) -> dict[str, Any]:
    """handled: no failure fails a scope, and the result depends on no timing."""
    nodes: list[Node] = []
    edges: list[dict[str, str]] = []
    _scope(draw, nodes, edges, parent=None, size=draw(st.integers(1, 7)), handled=handled, calm=handled)
    if handled and draw(st.integers(0, 3)) == 0:
        # When all else is decided: then it cancels nothing that might have been done.
        edges += [{"source": node["id"], "target": "end"} for node in nodes if "parentId" not in node]
        nodes.append({"id": "end", "type": "flow.return", "config": {"output": "${ input }"}})
    return {
        "name": "generated",
        "nodes": nodes,
        "edges": edges,
        "maxParallel": draw(st.sampled_from([1, 2, 64])),
    }


@st.composite
def wild_definitions(draw: st.DrawFn) -> dict[str, Any]:
    """With time-outs, steps that must not run twice and ends before time: the result depends on timing, but
    there is one."""
    definition: dict[str, Any] = draw(definitions(handled=False))
    for node in definition["nodes"]:
        if "join" in node and node["type"] == "data.set" and draw(st.booleans()):
            node.update(type="logic.join", config={"cancelRest": True})
        elif node["type"] == "flow.noop" and draw(st.integers(0, 9)) == 0:
            node.update(type="flow.return", config={"output": node["id"]})
        elif node["type"] == "logic.foreach" and draw(st.booleans()):
            node["config"]["stopAfter"] = draw(st.integers(1, 2))
        if draw(st.booleans()):
            node["timeoutMs"] = draw(st.sampled_from([1, 40, 300, 7000]))
        if draw(st.booleans()) and node["type"] not in CONTAINERS:
            node["atMostOnce"] = True
    return definition


def _scope(
    draw: st.DrawFn,
    nodes: list[Node],
    edges: list[dict[str, str]],
    *,
    parent: str | None,
    size: int,
    handled: bool,
    calm: bool,
    in_loop: bool = False,
    depth: int = 0,
) -> None:
    """Nodes inside `parent`, in random order of declaration, and edges from earlier to later ones."""
    prefix = f"{parent}-" if parent else "n"
    members = [_node(draw, f"{prefix}{n}", parent, handled, in_loop, depth) for n in range(size)]
    nodes.extend(draw(st.permutations(members)))
    for n, target in enumerate(members):
        sources = draw(st.lists(st.sampled_from(members[:n]), unique_by=lambda node: node["id"])) if n else []
        found = [edge for source in sources for edge in _edges(draw, source, target, handled)]
        edges.extend(found)
        if len(found) > 1 and draw(st.booleans()):
            target["join"] = draw(st.sampled_from(["any", *range(1, len(found) + 1)]))
            if target["type"] in ("flow.noop", "logic.join"):
                target.update(type="data.set", config={"values": {"joined": target["id"]}})
    for container in members:
        if container["type"] == "flow.subflow":
            container["config"]["workflow"] = _definition_inside(draw, handled=handled, calm=calm)
            container["config"]["detached"] = draw(st.sampled_from([False, False, True]))
        if container["type"] in CONTAINERS:
            inside = draw(st.integers(0, 3))
            loop = in_loop or container["type"] != "flow.try"
            # A failure that is caught stops its siblings, in time or not: so only one without siblings.
            caught = calm and container["type"] == "flow.try" and inside == 1
            settled = calm and not caught
            _scope(
                draw,
                nodes,
                edges,
                parent=container["id"],
                size=inside,
                handled=settled,
                calm=calm,
                in_loop=loop,
                depth=depth + 1,
            )


def _definition_inside(draw: st.DrawFn, *, handled: bool, calm: bool) -> Node:
    """The workflow of a sub-flow: a few nodes, which may hold others."""
    nodes: list[Node] = []
    edges: list[dict[str, str]] = []
    _scope(draw, nodes, edges, parent=None, size=draw(st.integers(1, 3)), handled=handled, calm=calm, depth=2)
    output = {"output": {"first": f"${{ nodes.{nodes[0]['id']}.status }}"}} if draw(st.booleans()) else {}
    return {"nodes": nodes, "edges": edges, **output}


def _node(
    draw: st.DrawFn, node_id: str, parent: str | None, handled: bool, in_loop: bool, depth: int
) -> Node:
    kinds = ["noop", "join", "set", "if", "switch", "work", "fail", "delay", "wait", "until"]
    kinds += ["ask", "call", "task"]
    kinds += ["each", "while", "try", "sub"] if depth < 2 else []
    node: Node = {"id": node_id, **({"parentId": parent} if parent else {})}
    match draw(st.sampled_from(kinds)):
        case "noop":
            node |= {"type": "flow.noop"}
        case "join":
            node |= {"type": "logic.join"}
        case "until":
            node |= {"type": "logic.waitUntil", "config": {"time": "2001-01-01T00:00:00Z"}}
        case "call":
            node |= {"type": "wait.callback"}
        case "task":
            asked = {"queue": "q", "input": "${ input }"}
            node |= {"type": "task.external", "config": asked, "retry": RETRY}
        case "set":
            value = "${ index }" if in_loop else "${ input }"
            node |= {"type": "data.set", "config": {"values": {"is": value}}}
        case "if":
            condition = draw(st.sampled_from([True, False, "${ input > 2 }"]))
            node |= {"type": "logic.if", "config": {"condition": condition}}
        case "switch":
            cases = [{"when": f"${{ input == {n} }}", "handle": f"h{n}"} for n in (1, 2)]
            ways: dict[str, Any] = {"cases": cases}
            if draw(st.booleans()):
                cases.append({"when": "${ input < 3 }", "handle": "h1"})
                ways["mode"] = "all"
            node |= {"type": "logic.switch", "config": ways}
        case "work":
            config = {"ms": draw(st.integers(0, 120)), "failFirst": draw(st.sampled_from([0, 0, 1, 9]))}
            node |= {"type": "test.work", "config": config, "retry": RETRY}
            node |= _on_error(draw, handled, fails=config["failFirst"] == 9)
        case "fail":
            node |= {
                "type": "flow.fail",
                "config": {"code": "BROKEN"},
                **_on_error(draw, handled, fails=True),
            }
        case "delay":
            node |= {"type": "logic.delay", "config": {"durationMs": draw(st.integers(0, 300))}}
        case "wait":
            node |= {"type": "logic.delay", "config": {"durationMs": 60_000}}
        case "ask":
            node |= {"type": "human.approval", "config": {"title": "?"}}
        case "each":
            loop: dict[str, Any] = {
                "items": list(range(draw(st.integers(0, 3)))),
                "concurrency": draw(st.integers(1, 3)),
                "onItemError": draw(st.sampled_from(["fail", "collect"])),
            }
            node |= {"type": "logic.foreach", "config": loop, **_on_error(draw, handled, fails=False)}
        case "while":
            repeated: dict[str, Any] = {
                "condition": f"${{ iteration < {draw(st.integers(0, 3))} }}",
                "check": draw(st.sampled_from(["before", "after"])),
            }
            node |= {"type": "logic.while", "config": repeated, **_on_error(draw, handled, fails=False)}
        case "sub":
            node |= {
                "type": "flow.subflow",
                "config": {"input": "${ input }"},
                **_on_error(draw, handled, fails=False),
            }
        case "try":
            catches = [{"codes": ["BROKEN"], "handle": "broken"}, {"handle": "caught"}]
            node |= {"type": "flow.try", "config": draw(st.sampled_from([{}, {"catch": catches}]))}
    return node


def _on_error(draw: st.DrawFn, handled: bool, *, fails: bool) -> Node:
    if handled and fails:
        return {"onError": "continue"}
    return {"onError": draw(st.sampled_from(["fail", "continue"]))}


def _edges(draw: st.DrawFn, source: Node, target: Node, handled: bool) -> list[dict[str, str]]:
    handles = {
        "logic.if": ["", "true", "false"],
        "logic.switch": ["", "h1", "h2", "default"],
        "human.approval": ["", "approved", "rejected"],
        "wait.callback": ["", "received"],
        "flow.try": ["", "success", "caught", *(["broken"] if source.get("config") else [])],
    }.get(source["type"], [""])
    if source.get("onError") == "continue" and draw(st.booleans()) and source["type"] not in CONTAINERS:
        del source["onError"]
        handles = ["error"]
    elif "onError" not in source and source["type"] in ("flow.fail", "test.work"):
        handles = ["", "error"]  # it branches already
    handle = draw(st.sampled_from(handles))
    edge = {"source": source["id"], "target": target["id"]}
    return [{**edge, "sourceHandle": handle} if handle else edge]
