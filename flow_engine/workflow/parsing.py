"""Untrusted JSON text to a value: whatever comes in, the answer is a value or `InvalidRequest`.

Numbers keep their value. Nesting is measured before any recursive parser sees the text.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from math import isinf
from typing import Any, NoReturn

import msgspec

from flow_engine.errors import InvalidRequest, Problem
from flow_engine.payload import JsonValue
from flow_engine.workflow import pointers

MAX_DEPTH = 64

_decoder: msgspec.json.Decoder[Any] = msgspec.json.Decoder()
_BOM = b"\xef\xbb\xbf"
_ONLY_BRACKETS = bytes.maketrans(b"{}", b"[]")
_NO_BRACKETS = bytes(sorted(set(range(256)) - set(b"[]{}")))
_SURROGATE = re.compile(
    rb"\\u([dD][89abAB][0-9a-fA-F]{2})(\\u[dD][c-fC-F][0-9a-fA-F]{2})?|\\u[dD][c-fC-F][0-9a-fA-F]{2}"
)
_BYTE = re.compile(r"\(byte (\d+)\)")
_NOT_A_NUMBER = re.compile(rb"-?(NaN|Infinity)")


def parse_json(text: bytes | str, *, max_bytes: int, max_depth: int = MAX_DEPTH) -> JsonValue:
    """The value of `text`. Raises InvalidRequest, and nothing else, when it is no JSON or over a limit.

    Syntax errors carry line and column in their message; the others the path of the value.
    """
    data = _utf8(text)
    if len(data) > max_bytes:
        _refuse("TOO_LARGE", f"the JSON text has {len(data):,} bytes, the limit is {max_bytes:,}")
    if not data.strip():
        _refuse("EMPTY_BODY", "there is nothing here", hint="send a JSON object")
    skeleton = _skeleton(data)
    if _deeper(skeleton, max_depth):
        _refuse("TOO_DEEP", f"lists and objects are nested more than {max_depth} deep")
    _check_surrogates(data)
    value = _decoded(data)
    if problems := [*_nul_characters(data, value), *_duplicate_keys(data, value, skeleton)]:
        raise InvalidRequest(problems)
    return value


def _utf8(text: bytes | str) -> bytes:
    if isinstance(text, str):
        try:
            return text.encode()
        except UnicodeEncodeError as error:
            _refuse("LONE_SURROGATE", f"character {error.start + 1} is half of a surrogate pair")
    try:
        text.decode()
    except UnicodeDecodeError as error:
        _refuse("INVALID_UTF8", f"byte {error.start + 1} is not UTF-8", hint="send the text as UTF-8")
    return text.removeprefix(_BOM)


def _decoded(data: bytes) -> JsonValue:
    try:
        return _decoder.decode(data)
    except msgspec.ValidationError:
        raise InvalidRequest(_numbers_out_of_range(data)) from None
    except msgspec.DecodeError as error:
        raise InvalidRequest([_syntax_problem(data, str(error))]) from None


def _syntax_problem(data: bytes, message: str) -> Problem:
    found = _BYTE.search(message)
    at = int(found[1]) if found else len(data)
    where = _position(data, at)
    start = at - 1 if data[max(at - 1, 0) : at] == b"-" else at
    if constant := _NOT_A_NUMBER.match(data, start):
        return Problem(
            "", "INVALID_NUMBER", f"JSON has no {constant[0].decode()} ({where})", "null is allowed"
        )
    if not found:
        return Problem("", "TRUNCATED_JSON", f"the JSON text ends too early ({where})")
    reason = message.removeprefix("JSON is malformed: ").split(" (byte")[0]
    return Problem("", "INVALID_JSON", f"not JSON: {reason} ({where})")


def _position(data: bytes, at: int) -> str:
    above, _, left = data[:at].rpartition(b"\n")
    line = above.count(b"\n") + (2 if b"\n" in data[:at] else 1)
    return f"line {line}, column {len(left.decode(errors='replace')) + 1}"


def _skeleton(data: bytes) -> bytes:
    """The text without its strings' contents: what is left has JSON's structure only."""
    outside = data.replace(b"\\\\", b"").replace(b'\\"', b"").split(b'"')[::2]
    return b"".join(outside)


def _deeper(skeleton: bytes, limit: int) -> bool:
    """Whether brackets nest deeper than `limit`: each pass takes the innermost level off."""
    brackets = skeleton.translate(_ONLY_BRACKETS, _NO_BRACKETS)
    for _ in range(limit):
        peeled = brackets.replace(b"[]", b"")
        if len(peeled) == len(brackets):  # what is left is unbalanced
            return brackets.count(b"[") > limit
        brackets = peeled
    return b"[" in brackets


def _check_surrogates(data: bytes) -> None:
    if b"\\ud" not in data and b"\\uD" not in data:
        return
    hidden = data.replace(b"\\\\", b"__")  # an escaped backslash starts no escape
    for found in _SURROGATE.finditer(hidden):
        if not found[2]:
            where = _position(data, found.start())
            _refuse("LONE_SURROGATE", f"{found[0].decode()} is half of a surrogate pair ({where})")


def _numbers_out_of_range(data: bytes) -> list[Problem]:
    hint = "send it as a string"
    try:
        value = json.loads(data, parse_int=lambda digits: float("inf") if len(digits) > 4000 else 0)
    except ValueError:
        return [Problem("", "INVALID_NUMBER", "a number is out of range", hint)]
    infinite = [path for path, leaf in pointers.leaves(value) if isinstance(leaf, float) and isinf(leaf)]
    return [Problem(path, "INVALID_NUMBER", "this number is out of range", hint) for path in infinite or [""]]


def _nul_characters(data: bytes, value: JsonValue) -> list[Problem]:
    if b"\\u0000" not in data:
        return []
    return [
        Problem(path, "NUL_CHARACTER", "strings must not hold the character U+0000")
        for path, leaf in pointers.leaves(value)
        if isinstance(leaf, str) and "\0" in leaf
    ]


def _duplicate_keys(data: bytes, value: JsonValue, skeleton: bytes) -> list[Problem]:
    """Objects that name a key twice: parsers disagree on which one counts."""
    if skeleton.count(b":") == _count_keys(value):
        return []
    paths = _twice(json.loads(data, object_pairs_hook=_Object), "")
    return [
        Problem(path, "DUPLICATE_KEY", f"the key {pointers.tokens(path)[-1]!r} stands here more than once")
        for path in paths
    ]


class _Object(list[tuple[str, Any]]):
    """A JSON object as pairs, so that nothing is lost."""


def _twice(value: Any, path: str) -> list[str]:
    if isinstance(value, _Object):
        seen = Counter(key for key, _ in value)
        found = [path + pointers.step(key) for key, count in seen.items() if count > 1]
        return found + [hit for key, child in value for hit in _twice(child, path + pointers.step(key))]
    if isinstance(value, list):
        return [hit for index, child in enumerate(value) for hit in _twice(child, f"{path}/{index}")]
    return []


def _count_keys(value: JsonValue) -> int:
    """Keys of all objects inside `value`."""
    count = 0
    open_values = [value]
    while open_values:
        current = open_values.pop()
        if isinstance(current, dict):
            count += len(current)
            open_values.extend(current.values())
        elif isinstance(current, list):
            open_values.extend(current)
    return count


def _refuse(code: str, message: str, *, hint: str = "", path: str = "") -> NoReturn:
    raise InvalidRequest([Problem(path, code, message, hint)])
