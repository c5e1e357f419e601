"""Every node type that a process knows: the built-in ones and those that installed packages bring.

A package brings its types by entry points of the group `flow_engine.nodes`, each a `NodeType` subclass:

    [project.entry-points."flow_engine.nodes"]
    "acme.greet" = "acme_nodes:Greet"
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from pydantic import BaseModel, ValidationError

from flow_engine.nodes.ai_chat import AiChat
from flow_engine.nodes.ai_extract import AiExtract
from flow_engine.nodes.code_python import CodePython
from flow_engine.nodes.contract import Effect, NodeConfig, NodeType
from flow_engine.nodes.data_format import DataFormat
from flow_engine.nodes.data_hash import DataHash
from flow_engine.nodes.data_merge import DataMerge
from flow_engine.nodes.data_parse import DataParse
from flow_engine.nodes.data_set import DataSet
from flow_engine.nodes.data_split import DataSplit
from flow_engine.nodes.data_transform import DataTransform
from flow_engine.nodes.data_validate import DataValidate
from flow_engine.nodes.database_query import DatabaseQuery
from flow_engine.nodes.email_send import EmailSend
from flow_engine.nodes.flow_fail import FlowFail
from flow_engine.nodes.flow_noop import FlowNoop
from flow_engine.nodes.flow_return import FlowReturn
from flow_engine.nodes.flow_subflow import FlowSubflow
from flow_engine.nodes.flow_try import FlowTry
from flow_engine.nodes.grpc_call import GrpcCall
from flow_engine.nodes.http_request import HttpRequest
from flow_engine.nodes.human_approval import HumanApproval
from flow_engine.nodes.human_input import HumanInput
from flow_engine.nodes.logic_delay import LogicDelay
from flow_engine.nodes.logic_foreach import LogicForeach
from flow_engine.nodes.logic_if import LogicIf
from flow_engine.nodes.logic_join import LogicJoin
from flow_engine.nodes.logic_switch import LogicSwitch
from flow_engine.nodes.logic_wait_until import LogicWaitUntil
from flow_engine.nodes.logic_while import LogicWhile
from flow_engine.nodes.queue_publish import QueuePublish
from flow_engine.nodes.redis_publish import RedisPublish
from flow_engine.nodes.task_external import TaskExternal
from flow_engine.nodes.wait_callback import WaitCallback
from flow_engine.nodes.webhook_respond import WebhookRespond
from flow_engine.payload import JsonValue

ENTRY_POINT_GROUP = "flow_engine.nodes"

BUILT_IN: tuple[type[NodeType[Any]], ...] = (
    AiChat,
    AiExtract,
    CodePython,
    DataFormat,
    DataHash,
    DataMerge,
    DataParse,
    DataSet,
    DataSplit,
    DataTransform,
    DataValidate,
    DatabaseQuery,
    EmailSend,
    FlowFail,
    FlowNoop,
    FlowReturn,
    FlowSubflow,
    FlowTry,
    GrpcCall,
    HttpRequest,
    HumanApproval,
    HumanInput,
    LogicDelay,
    LogicForeach,
    LogicIf,
    LogicJoin,
    LogicSwitch,
    LogicWaitUntil,
    LogicWhile,
    QueuePublish,
    RedisPublish,
    TaskExternal,
    WaitCallback,
    WebhookRespond,
)


class NodeTypeError(Exception):
    """A node type cannot be registered."""


class InvalidNodeType(NodeTypeError):
    """Its declarations are wrong; `problems` lists everything that is."""

    def __init__(self, name: str, problems: Iterable[str]) -> None:
        self.name = name
        self.problems = tuple(problems)
        super().__init__(f"node type {name}: {'; '.join(self.problems)}")


class DuplicateNodeType(NodeTypeError):
    """Two classes claim one type name: nobody could say which of them would run."""

    def __init__(self, name: str, first: str, second: str) -> None:
        self.name, self.first, self.second = name, first, second
        super().__init__(f"two node types are named {name}: {first} and {second}")


@dataclass(frozen=True, slots=True)
class BrokenPlugin:
    """An entry point whose node type could not be registered; the other types are not affected."""

    entry_point: str
    package: str
    reason: str

    def __str__(self) -> str:
        return f"node type {self.entry_point} of package {self.package} cannot be used: {self.reason}"


class NodeRegistry:
    """Node types by name."""

    def __init__(self) -> None:
        self._types: dict[str, NodeType[Any]] = {}
        self._origins: dict[str, str] = {}
        self.broken: list[BrokenPlugin] = []
        self._off: dict[str, str] = {}

    def turn_off(self, *settings: str) -> None:
        """Types that these settings would turn on are known and described, and refused in definitions."""
        self._off.update({one.type: one.setting for one in self if one.setting in settings})

    def setting_for(self, type_name: str) -> str:
        """The setting that would turn this type on; empty when it is on, or unknown."""
        return self._off.get(type_name, "")

    def usable(self, *off: str) -> list[str]:
        """Names of the types that a process can run in which these settings are off."""
        return [one.type for one in self if not one.setting or one.setting not in off]

    def register(self, node_type: type[NodeType[Any]], origin: str = "") -> None:
        """Add a type. origin: who brings it, for messages; its module by default.

        Raises InvalidNodeType, DuplicateNodeType.
        """
        origin = origin or f"{node_type.__module__}.{node_type.__qualname__}"
        if problems := declaration_problems(node_type):
            raise InvalidNodeType(getattr(node_type, "type", origin), problems)
        self._add(node_type, origin)

    def _add(self, node_type: type[NodeType[Any]], origin: str) -> None:
        if node_type.type in self._types:
            raise DuplicateNodeType(node_type.type, self._origins[node_type.type], origin)
        self._types[node_type.type] = node_type()
        self._origins[node_type.type] = origin

    def get(self, type_name: str) -> NodeType[Any] | None:
        return self._types.get(type_name)

    def names(self) -> list[str]:
        return sorted(self._types)

    def __iter__(self) -> Iterator[NodeType[Any]]:
        """The types in the order of their names."""
        return iter([self._types[name] for name in self.names()])

    def __len__(self) -> int:
        return len(self._types)

    def __contains__(self, type_name: object) -> bool:
        return type_name in self._types

    def describe(self) -> list[dict[str, JsonValue]]:
        """What the public may know of each type, in the order of their names; see `describe`."""
        return [describe(node_type) for node_type in self]


def built_in_registry() -> NodeRegistry:
    """The types of this package. Whether they are declared well is for tests to say, not for each start."""
    registry = NodeRegistry()
    for node_type in BUILT_IN:
        registry._add(node_type, node_type.__module__)
    return registry


def load_registry() -> NodeRegistry:
    """The built-in types and those of installed packages.

    A type that cannot be loaded or is wrongly declared is listed in `broken`, and the others work.
    Raises DuplicateNodeType.
    """
    registry = built_in_registry()
    for entry_point in sorted(
        entry_points(group=ENTRY_POINT_GROUP), key=lambda found: (found.name, found.value)
    ):
        package = entry_point.dist.name if entry_point.dist else "unknown"
        try:
            registry.register(_loaded(entry_point), f"{entry_point.value} of package {package}")
        except DuplicateNodeType:
            raise
        except Exception as error:  # importing a foreign package runs its code
            registry.broken.append(
                BrokenPlugin(entry_point.name, package, str(error) or type(error).__name__)
            )
    return registry


def _loaded(entry_point: EntryPoint) -> type[NodeType[Any]]:
    loaded = entry_point.load()
    if not (inspect.isclass(loaded) and issubclass(loaded, NodeType)):
        raise NodeTypeError(f"{entry_point.value} is no subclass of flow_engine.nodes.contract.NodeType")
    return loaded


def describe(node_type: NodeType[Any]) -> dict[str, JsonValue]:
    """The public description of a type: what it is for, its config's JSON Schema, how it behaves."""
    description = inspect.getdoc(type(node_type)) or ""
    return {
        "type": node_type.type,
        "title": node_type.title,
        "summary": description.partition("\n")[0],
        "description": description,
        "effect": node_type.effect.value,
        "human": node_type.human,
        "container": node_type.container,
        "atMostOnce": node_type.at_most_once,
        "handles": list(node_type.handles_of(node_type.example)),
        "typicalMs": node_type.typical_ms(node_type.example),
        "configSchema": config_schema(node_type),
        "example": node_type.example,
        "errorCodes": dict(node_type.error_codes),
        "deferred": {path: sorted(names) for path, names in node_type.deferred.items()},
    }


def config_schema(node_type: NodeType[Any] | type[NodeType[Any]]) -> dict[str, JsonValue]:
    """JSON Schema (2020-12) of a config whose expressions are evaluated.

    Fields marked `x-deferred` hold expressions that the node evaluates itself, `x-secret` ones credentials;
    secrets may be named in these and below those marked `x-may-hold-secrets`.
    """
    return node_type.config_model.model_json_schema(by_alias=True)


# What a type must declare

_TYPE_NAME = re.compile(r"[a-z][a-zA-Z0-9]*(\.[a-z][a-zA-Z0-9]*)+")
_HANDLE = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}")
_ERROR_CODE = re.compile(r"[A-Z][A-Z0-9_]*")


def declaration_problems(node_type: Any) -> list[str]:
    """Everything wrong with what a subclass of NodeType declares, in words; empty if nothing is."""
    if missing := [
        name for name in ("type", "title", "config_model", "example") if not hasattr(node_type, name)
    ]:
        return [f"it does not declare `{name}`" for name in missing]
    if not (inspect.isclass(node_type.config_model) and issubclass(node_type.config_model, NodeConfig)):
        return ["config_model is no subclass of NodeConfig"]
    return [*_naming_problems(node_type), *_config_problems(node_type), *_behaviour_problems(node_type)]


def _naming_problems(node_type: Any) -> Iterator[str]:
    if not _TYPE_NAME.fullmatch(node_type.type):
        yield f"{node_type.type!r} is no type name; write `family.name`"
    if not node_type.title.strip():
        yield "its title is empty"
    if not (node_type.__doc__ or "").strip():
        yield "it has no docstring, which is its public description"
    for handle in node_type.handles:
        if handle == "error" or not _HANDLE.fullmatch(handle):
            yield f"{handle!r} cannot be a handle"
    if len(set(node_type.handles)) < len(node_type.handles):
        yield "it names a handle twice"
    for code in node_type.error_codes:
        if not _ERROR_CODE.fullmatch(code):
            yield f"{code!r} is no error code; write it in upper case"


def _config_problems(node_type: Any) -> Iterator[str]:
    try:
        schema = config_schema(node_type)
    except Exception as error:  # pydantic raises several kinds
        yield f"its config has no JSON Schema: {error}"
        return
    try:
        node_type.config_model.model_validate(node_type.example)
    except ValidationError as error:
        for detail in error.errors(include_url=False):
            yield f"its example is wrong at {'.'.join(map(str, detail['loc'])) or 'the top'}: {detail['msg']}"
    for name, field in schema.get("properties", {}).items():
        if not field.get("description"):
            yield f"config field `{name}` has no description"
    for path in node_type.deferred:
        if not _names_field(node_type.config_model, path.split(".")[0]):
            yield f"deferred path {path!r} names no config field"


def _names_field(model: type[BaseModel], name: str) -> bool:
    return any(name in (field_name, field.alias) for field_name, field in model.model_fields.items())


def _behaviour_problems(node_type: Any) -> Iterator[str]:
    if not isinstance(node_type.effect, Effect):
        yield "effect is no Effect"
    if node_type.container and node_type.open is NodeType.open:
        yield "it is a container without `open`"
    if not node_type.container and node_type.run is NodeType.run:
        yield "it has no `run`"
    for name in ("run", "resume"):
        if not inspect.iscoroutinefunction(getattr(node_type, name)):
            yield f"`{name}` is no `async def`"
