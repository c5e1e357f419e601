from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any, ClassVar, Literal
from urllib.parse import parse_qsl

from pydantic import Field

from flow_engine.nodes.contract import Completed, NodeConfig, NodeContext, NodeError, NodeType
from flow_engine.nodes.dates import date_fields, parse_date
from flow_engine.nodes.text_formats import FormatError, parse_csv, parse_xml
from flow_engine.nodes.untrusted_json import InvalidJson, parse_json
from flow_engine.payload import JsonValue


class DataParseConfig(NodeConfig):
    text: str = Field(description="The text to read.")
    format: Literal["json", "jsonLines", "csv", "xml", "base64", "query", "date"] = Field(
        default="json",
        description="`jsonLines`: a JSON value in each line. `base64`: UTF-8 text in base64. `query`: a "
        "URL's query or form, `a=1&b=2`. `date`: a date with time.",
    )
    delimiter: str = Field(default=",", pattern=r'^[^"\r\n]$', description="CSV: what stands between cells.")
    header: bool = Field(default=True, description="CSV: whether the first row names the columns.")
    pattern: str | None = Field(
        default=None, max_length=200, description="Date: as in strptime, `%d.%m.%Y`; absent: ISO 8601."
    )
    time_zone: str = Field(
        default="UTC", description="Date: where it is meant, if it does not say; `Europe/Berlin`."
    )


class DataParse(NodeType[DataParseConfig]):
    """Reads a text in a known format.

    The output: `json` the value, numbers keeping theirs; `jsonLines` a list; `csv` a list of objects by
    column, or of lists without header, all cells strings; `xml` an object of the root element with
    attributes as `@name`, text as `#text` and repeated elements as lists; `base64` the text; `query` an
    object, repeated names as lists; `date` `{"utc", "epochMs", "date", "time", "weekday", "offset"}`,
    Monday being 1.
    """

    type = "data.parse"
    title = "Parse"
    config_model = DataParseConfig
    example: ClassVar[dict[str, Any]] = {"format": "csv", "text": "id,name\n1,Ada\n2,Alan\n"}
    inline = True
    error_codes: ClassVar[Mapping[str, str]] = {"PARSE_FAILED": "The text is not of that format."}

    async def run(self, context: NodeContext, config: DataParseConfig) -> Completed:
        try:
            return Completed(_parsed(config))
        except (FormatError, InvalidJson) as error:
            raise NodeError("PARSE_FAILED", f"this is no {config.format}: {error}") from error


def _parsed(config: DataParseConfig) -> JsonValue:
    match config.format:
        case "json":
            return parse_json(config.text)
        case "jsonLines":
            return [parse_json(line) for line in config.text.split("\n") if line.strip()]
        case "csv":
            return parse_csv(config.text, config.delimiter, config.header)
        case "xml":
            return parse_xml(config.text)
        case "base64":
            return _from_base64(config.text)
        case "query":
            return _from_query(config.text)
        case "date":
            return date_fields(parse_date(config.text, config.pattern, config.time_zone), config.time_zone)


def _from_base64(text: str) -> str:
    try:
        return base64.b64decode("".join(text.split()), validate=True).decode()
    except ValueError as error:
        raise FormatError("it holds other characters, or no UTF-8") from error


def _from_query(text: str) -> dict[str, JsonValue]:
    try:
        pairs = parse_qsl(text.removeprefix("?"), keep_blank_values=True, max_num_fields=10_000)
    except ValueError as error:
        raise FormatError("it has more than 10,000 fields") from error
    result: dict[str, JsonValue] = {}
    for name, value in pairs:
        if name not in result:
            result[name] = value
        elif isinstance(result[name], list):
            result[name].append(value)
        else:
            result[name] = [result[name], value]
    return result
