"""Arguments and options that several commands share, and how their texts are read."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from services.cli.errors import BadUse

if TYPE_CHECKING:
    from google.protobuf.duration_pb2 import Duration

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")]
ExecutionIdArgument = Annotated[str, typer.Argument(metavar="ID", help="Id of the execution.")]
DefinitionArgument = Annotated[
    str, typer.Argument(metavar="FILE", help="A definition, or - for standard input.")
]


def read_text(source: str, what: str) -> str:
    """The text of a file, or of standard input for `-`. Raises BadUse."""
    try:
        data = sys.stdin.buffer.read() if source == "-" else Path(source).read_bytes()
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise BadUse(f"{what} {source} is not UTF-8: {error.reason} at byte {error.start}") from error
    except OSError as error:
        raise BadUse(f"cannot read {what} {source}: {error.strerror}") from error


def read_definition(source: str) -> tuple[str, dict[str, Any]]:
    """(text, parsed): the executor gets the text, for its numbers. Raises BadUse unless it is an object."""
    text = read_text(source, "definition")
    parsed = checked_json(text, f"definition {source}")
    if not isinstance(parsed, dict):
        raise BadUse(f"definition {source} is no JSON object")
    return text, parsed


def read_value(argument: str, option: str) -> str:
    """JSON text given as it is, or as @file (@- is standard input). Raises BadUse."""
    text = read_text(argument[1:], f"the file of {option},") if argument.startswith("@") else argument
    checked_json(text, option)
    return text


def checked_json(text: str, what: str) -> Any:
    """What the text holds. Raises BadUse with line and column where it is no JSON."""
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        hint = [] if "\n" in text or len(text) > 200 else [f"given: {text}"]
        raise BadUse(
            f"{what} is no JSON: line {error.lineno}, column {error.colno}: {error.msg}", hint
        ) from None
    except RecursionError:
        raise BadUse(f"{what} is nested too deeply") from None


def duration(milliseconds: int) -> Duration:
    from google.protobuf.duration_pb2 import Duration

    value = Duration()
    value.FromMilliseconds(milliseconds)
    return value


def parse_iteration(text: str) -> list[int]:
    """`2,0` → [2, 0]. Raises BadUse."""
    parts = [part.strip() for part in text.split(",")] if text else []
    if not all(part.isdecimal() for part in parts):
        raise BadUse(f"--iteration must be indexes such as 2 or 2,0 (outermost loop first), not {text!r}")
    return [int(part) for part in parts]
