from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any, ClassVar, Literal

from pydantic import Field, model_validator

from flow_engine.nodes.contract import Completed, NodeConfig, NodeContext, NodeError, NodeType
from flow_engine.nodes.fields import MISSING, FieldPath, field_of, identity, identity_of_fields
from flow_engine.payload import JsonValue

Conflict = Literal["last", "first", "fail"]
JsonObject = dict[str, JsonValue]


class DataMergeConfig(NodeConfig):
    mode: Literal["append", "objects", "position", "key", "first"] = Field(
        default="append",
        description="`append`: all lists one after another. `objects`: all objects into one. `position`: "
        "the first objects of all lists into one, the second ones, … `key`: objects of all lists that "
        "agree in `keys` into one. `first`: the first source that is not null.",
    )
    sources: list[Any] | None = Field(
        default=None,
        description="What to merge; absent: the outputs of the predecessors that ran, in order of edges.",
    )
    keys: list[FieldPath] = Field(default_factory=list, description="For mode `key`: the fields to compare.")
    unmatched: Literal["keep", "drop"] = Field(
        default="keep",
        description="For `position` and `key`: what becomes of objects that not every source has.",
    )
    on_conflict: Conflict = Field(
        default="last",
        description="Which of two different values of one field stays, or that the step fails.",
    )
    deep: bool = Field(
        default=False, description="Merge objects in fields too, instead of one replacing the other."
    )

    @model_validator(mode="after")
    def _names_its_keys(self) -> DataMergeConfig:
        if self.mode == "key" and not self.keys:
            raise ValueError("mode `key` needs at least one field in `keys`")
        return self


class DataMerge(NodeType[DataMergeConfig]):
    """Merges lists or objects into one.

    The output is a list for the modes `append`, `position` and `key`, in order of first appearance; an
    object for `objects`; any value for `first`. With `append` a source that is no list counts as a list of
    one.
    """

    type = "data.merge"
    title = "Merge"
    config_model = DataMergeConfig
    example: ClassVar[dict[str, Any]] = {
        "mode": "key",
        "keys": ["id"],
        "sources": [[{"id": 1, "name": "Ada"}], [{"id": 1, "age": 36}, {"id": 2, "age": 41}]],
    }
    inline = True
    wants_predecessors = True
    error_codes: ClassVar[Mapping[str, str]] = {
        "MERGE_TYPE": "A source is no list of objects, or no object, where the mode needs one.",
        "MERGE_CONFLICT": "A field has two values and `onConflict` is `fail`.",
    }

    async def run(self, context: NodeContext, config: DataMergeConfig) -> Completed:
        sources = list(context.predecessors.values()) if config.sources is None else config.sources
        return Completed(_merged(sources, config))


def _merged(sources: Sequence[JsonValue], config: DataMergeConfig) -> JsonValue:
    match config.mode:
        case "append":
            return [item for source in sources for item in (source if isinstance(source, list) else [source])]
        case "first":
            return next((source for source in sources if source is not None), None)
        case "objects":
            return _folded([_object(source, f"source {n}") for n, source in enumerate(sources)], config)
        case "position":
            return _by_position([_objects(source, n) for n, source in enumerate(sources)], config)
        case "key":
            return _by_key([_objects(source, n) for n, source in enumerate(sources)], config)


def _by_position(sources: list[list[JsonObject]], config: DataMergeConfig) -> list[JsonValue]:
    lengths = [len(source) for source in sources] or [0]
    length = max(lengths) if config.unmatched == "keep" else min(lengths)
    return [
        _folded([source[position] for source in sources if position < len(source)], config)
        for position in range(length)
    ]


def _by_key(sources: list[list[JsonObject]], config: DataMergeConfig) -> list[JsonValue]:
    """Objects without one of the key fields match nothing."""
    groups: dict[Hashable, list[JsonObject]] = {}
    seen_in: dict[Hashable, set[int]] = {}
    for number, source in enumerate(sources):
        for position, row in enumerate(source):
            complete = all(field_of(row, path) is not MISSING for path in config.keys)
            key: Hashable = identity_of_fields(row, config.keys) if complete else ("alone", number, position)
            groups.setdefault(key, []).append(row)
            seen_in.setdefault(key, set()).add(number)
    return [
        _folded(rows, config)
        for key, rows in groups.items()
        if config.unmatched == "keep" or len(seen_in[key]) == len(sources)
    ]


def _folded(rows: Sequence[JsonObject], config: DataMergeConfig) -> JsonObject:
    result: JsonObject = {}
    for row in rows:
        result = _joined(result, row, config, "")
    return result


def _joined(left: JsonObject, right: JsonObject, config: DataMergeConfig, path: str) -> JsonObject:
    result = dict(left)
    for name, value in right.items():
        result[name] = _chosen(left[name], value, config, f"{path}{name}") if name in left else value
    return result


def _chosen(old: JsonValue, new: JsonValue, config: DataMergeConfig, path: str) -> JsonValue:
    if config.deep and isinstance(old, dict) and isinstance(new, dict):
        return _joined(old, new, config, f"{path}.")
    if config.on_conflict == "fail" and identity(old) != identity(new):
        raise NodeError("MERGE_CONFLICT", f"the field {path!r} has two values", field=path)
    return old if config.on_conflict == "first" else new


def _objects(source: JsonValue, number: int) -> list[JsonObject]:
    if not isinstance(source, list):
        raise NodeError("MERGE_TYPE", f"source {number} must be a list of objects")
    return [_object(row, f"item {n} of source {number}") for n, row in enumerate(source)]


def _object(value: JsonValue, name: str) -> JsonObject:
    if isinstance(value, dict):
        return value
    raise NodeError("MERGE_TYPE", f"{name} must be an object")
