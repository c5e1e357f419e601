from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import Any, ClassVar

from pydantic import Field, model_validator

from flow_engine.nodes.contract import Completed, NodeConfig, NodeContext, NodeType
from flow_engine.nodes.outputs import ANYTHING, list_of
from flow_engine.payload import JsonValue


class DataSplitConfig(NodeConfig):
    items: list[Any] | None = Field(default=None, description="A list to split; needs `size` or `parts`.")
    size: int | None = Field(
        default=None, ge=1, description="So many items in each part; the last may have fewer."
    )
    parts: int | None = Field(
        default=None, ge=1, le=10_000, description="So many parts, whose lengths differ by one at most."
    )
    text: str | None = Field(default=None, description="A text to split; needs `separator`.")
    separator: str | None = Field(
        default=None, min_length=1, description="What stands between the parts of `text`."
    )

    @model_validator(mode="after")
    def _says_what_and_how(self) -> DataSplitConfig:
        if (self.items is None) == (self.text is None):
            raise ValueError("give either `items` or `text`")
        if self.text is not None and (self.separator is None or self.size or self.parts):
            raise ValueError("`text` goes with `separator` alone")
        if self.items is not None and ((self.size is None) == (self.parts is None) or self.separator):
            raise ValueError("`items` goes with either `size` or `parts`")
        return self


class DataSplit(NodeType[DataSplitConfig]):
    """Splits a list into smaller lists, or a text at a separator.

    The output is the list of parts: lists in the order of the items, or strings. Together with
    `logic.foreach` it works through a long list in batches.
    """

    type = "data.split"
    title = "Split"
    config_model = DataSplitConfig
    example: ClassVar[dict[str, Any]] = {"items": [1, 2, 3, 4, 5], "size": 2}
    inline = True

    def output_schema(self, config: Mapping[str, Any]) -> Mapping[str, Any]:
        return list_of(ANYTHING)

    async def run(self, context: NodeContext, config: DataSplitConfig) -> Completed:
        return Completed(_parts(config))


def _parts(config: DataSplitConfig) -> list[JsonValue]:
    if config.text is not None:
        return list(config.text.split(config.separator))
    items = config.items or []
    if config.size is not None:
        return [items[start : start + config.size] for start in range(0, len(items), config.size)]
    count = config.parts or 1
    borders = [len(items) * number // count for number in range(count + 1)]
    return [items[start:end] for start, end in pairwise(borders)]
