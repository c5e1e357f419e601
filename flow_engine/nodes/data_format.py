from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from typing import Any, ClassVar, Literal
from urllib.parse import urlencode

from pydantic import Field

from flow_engine.nodes.contract import Completed, NodeConfig, NodeContext, NodeError, NodeType
from flow_engine.nodes.dates import format_date, instant_of
from flow_engine.nodes.outputs import STRING
from flow_engine.nodes.text_formats import FormatError, format_csv, format_xml
from flow_engine.payload import JsonValue, encode


class DataFormatConfig(NodeConfig):
    value: Any = Field(description="The value to write.")
    format: Literal["json", "jsonLines", "csv", "xml", "base64", "query", "date"] = Field(
        default="json", description="The format, as `data.parse` reads it."
    )
    indent: int = Field(default=0, ge=0, le=8, description="JSON: spaces for each level; 0: all in one line.")
    delimiter: str = Field(default=",", pattern=r'^[^"\r\n]$', description="CSV: what stands between cells.")
    header: bool = Field(default=True, description="CSV: whether the first row names the columns.")
    pattern: str | None = Field(
        default=None, max_length=200, description="Date: as in strftime, `%d.%m.%Y`; absent: ISO 8601."
    )
    time_zone: str = Field(default="UTC", description="Date: where it is read and written; `Europe/Berlin`.")


class DataFormat(NodeType[DataFormatConfig]):
    """Writes a value as text.

    The output is the string. The reverse of `data.parse`: `csv` takes a list of objects or of lists, `xml`
    an object with the root element as its only field, `base64` a string (anything else is written as JSON
    first), `query` an object, `date` ISO 8601 text or milliseconds since 1970.
    """

    type = "data.format"
    title = "Format"
    config_model = DataFormatConfig
    example: ClassVar[dict[str, Any]] = {
        "format": "csv",
        "value": [{"id": 1, "name": "Ada"}, {"id": 2, "name": "Alan"}],
    }
    inline = True
    error_codes: ClassVar[Mapping[str, str]] = {
        "FORMAT_FAILED": "The value cannot be written in that format."
    }

    def output_schema(self, config: Mapping[str, Any]) -> Mapping[str, Any]:
        return STRING

    async def run(self, context: NodeContext, config: DataFormatConfig) -> Completed:
        try:
            return Completed(_written(config))
        except FormatError as error:
            raise NodeError("FORMAT_FAILED", f"it cannot be written as {config.format}: {error}") from error


def _written(config: DataFormatConfig) -> str:
    value = config.value
    match config.format:
        case "json" if config.indent:
            return json.dumps(value, indent=config.indent, ensure_ascii=False)
        case "json":
            return encode(value).decode()
        case "jsonLines":
            return "".join(f"{encode(item).decode()}\n" for item in _list(value))
        case "csv":
            return format_csv(value, config.delimiter, config.header)
        case "xml":
            return format_xml(value)
        case "base64":
            return base64.b64encode(value.encode() if isinstance(value, str) else encode(value)).decode()
        case "query":
            return urlencode(_fields(value))
        case "date":
            return format_date(instant_of(value, config.time_zone), config.pattern, config.time_zone)


def _list(value: JsonValue) -> list[JsonValue]:
    if isinstance(value, list):
        return value
    raise FormatError("it is no list")


def _fields(value: JsonValue) -> list[tuple[str, str]]:
    if not isinstance(value, dict):
        raise FormatError("it is no object")
    spread = [
        (name, one)
        for name, field in value.items()
        for one in (field if isinstance(field, list) else [field])
    ]
    return [
        (name, one if isinstance(one, str) else encode(one).decode())
        for name, one in spread
        if one is not None
    ]
