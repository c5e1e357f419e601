"""What React Flow's `toObject()` gives, read as our own form.

Pure functions on plain JSON. The document itself is left as it is: each field that was
moved remembers where it stood, so that problems name the place in the document as sent.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field

from flow_engine.errors import Problem
from flow_engine.payload import JsonValue

NODE_FIELDS = frozenset(
    "position positionAbsolute data sourcePosition targetPosition hidden selected dragging draggable "
    "selectable connectable deletable dragHandle width height initialWidth initialHeight parentNode zIndex "
    "extent expandParent ariaLabel ariaRole origin handles measured style className resizing focusable "
    "domAttributes".split()
)
EDGE_FIELDS = frozenset(
    "type targetHandle data animated hidden deletable selectable selected markerStart markerEnd zIndex "
    "ariaLabel ariaRole interactionWidth label labelStyle labelShowBg labelBgStyle labelBgPadding "
    "labelBgBorderRadius style className reconnectable updatable focusable pathOptions domAttributes "
    "sourceNode targetNode".split()
)
TOP_FIELDS = frozenset(("viewport",))

EDITOR_DATA = ("label", "description", "icon", "color", "title")
"""Fields of `data` that are the editor's, unless the node's config has one of that name."""
BESIDE_CONFIG = ("retry", "timeoutMs", "onError", "join", "atMostOnce")
"""Fields of the node that may stand in `data` beside `data.config`."""

ConfigFields = Callable[[str], Collection[str]]
"""Names of the config fields of a node type; none for an unknown one."""


@dataclass(frozen=True, slots=True)
class Normalised:
    """One node, edge or definition in our own form."""

    fields: Mapping[str, JsonValue]
    moved: Mapping[str, str] = field(
        default_factory=dict
    )  # field -> where it stood: {"config": "/data/config"}
    problems: tuple[Problem, ...] = ()  # paths relative to the object

    def path_of(self, name: str) -> str:
        return self.moved.get(name, f"/{name}")


def top(document: Mapping[str, JsonValue]) -> Normalised:
    """The definition without what belongs to the editor."""
    return Normalised(_without(document, TOP_FIELDS))


def edge(raw: Mapping[str, JsonValue]) -> Normalised:
    return Normalised(_without(raw, EDGE_FIELDS))


def node(raw: Mapping[str, JsonValue], config_fields: ConfigFields) -> Normalised:
    """The node with its config and settings taken out of `data`."""
    fields = _without(raw, NODE_FIELDS)
    found = _Moves(fields)
    if "parentNode" in raw and "parentId" not in raw:  # React Flow before version 12
        found.move("parentId", raw["parentNode"], "/parentNode")
    data = raw.get("data")
    if isinstance(data, dict):
        _read_data(data, found, config_fields)
    return Normalised(found.fields, found.moved, tuple(found.problems))


def _read_data(data: Mapping[str, JsonValue], found: _Moves, config_fields: ConfigFields) -> None:
    label = data.get("label")
    if isinstance(label, str) and "name" not in found.fields:
        found.move("name", label[:1024], "/data/label")
    if isinstance(data.get("config"), dict):
        found.move("config", data["config"], "/data/config")
        for name in BESIDE_CONFIG:
            if name in data:
                found.move(name, data[name], f"/data/{name}")
    elif "config" not in found.fields:
        node_type = found.fields.get("type")
        known = config_fields(node_type) if isinstance(node_type, str) else ()
        config = {key: value for key, value in data.items() if key not in EDITOR_DATA or key in known}
        found.move("config", config, "/data")


class _Moves:
    """The fields so far. A field said twice, differently, is a problem."""

    def __init__(self, fields: dict[str, JsonValue]) -> None:
        self.fields = fields
        self.moved: dict[str, str] = {}
        self.problems: list[Problem] = []

    def move(self, name: str, value: JsonValue, path: str) -> None:
        if name in self.fields and self.fields[name] != value:
            message = f"{name!r} stands here and beside `data`, with another value"
            self.problems.append(Problem(path, "CONFLICTING_FIELDS", message, "leave one of them out"))
        elif name not in self.fields:
            self.fields[name] = value
            self.moved[name] = path


def _without(raw: Mapping[str, JsonValue], names: Collection[str]) -> dict[str, JsonValue]:
    return {key: value for key, value in raw.items() if key not in names}
