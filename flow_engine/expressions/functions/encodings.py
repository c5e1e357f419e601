"""JSON, base64, hex, URLs and hashes."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
import urllib.parse
from typing import Any, NoReturn

from flow_engine.expressions.errors import EvaluationError
from flow_engine.expressions.functions.registry import function
from flow_engine.expressions.limits import BYTES, Frame, charge
from flow_engine.expressions.values import json_key, to_json

GROUP = "JSON, encodings and hashes"


@function(
    GROUP,
    "json.encode(any) -> string",
    doc="The JSON text of a value, without needless blanks.",
    examples=[("json.encode({'a': [1, null]})", '"{\\"a\\":[1,null]}"')],
)
def json_encode(frame: Frame, value: Any) -> str:
    return json_text(frame, value)


def json_text(frame: Frame, value: Any) -> str:
    """The JSON text of value. What it takes of the output's bytes is given back: it is no output yet."""
    left = frame[BYTES]
    plain = to_json(frame, value)
    charge(frame, (left - frame[BYTES]) >> 2)
    frame[BYTES] = left
    return json.dumps(plain, ensure_ascii=False, allow_nan=False, separators=(",", ":"), check_circular=False)


@function(
    GROUP,
    "json.decode(string) -> any",
    doc="The value a JSON text stands for.",
    examples=[("json.decode('{\"a\": [1, null]}').a[0]", "1")],
)
def json_decode(frame: Frame, text: str) -> Any:
    elements = text.count(",") + text.count("[") + text.count("{")
    charge(frame, (len(text) >> 1) + 2 * elements)  # small values cost more than their text
    try:
        value = json.loads(text, parse_constant=_refuse)
    except json.JSONDecodeError as error:
        raise EvaluationError(f"no JSON: {error.msg} at character {error.pos + 1}") from None
    except (RecursionError, ValueError):
        raise EvaluationError("no JSON: nested too deep, or a number too long") from None
    if "\\u" in text:
        _check_unicode(text)
    left = frame[BYTES]
    to_json(frame, value)
    frame[BYTES] = left
    return value


def _refuse(name: str) -> NoReturn:
    raise EvaluationError(f"no JSON: {name}")


def _check_unicode(text: str) -> None:
    """Refuse halves of surrogate pairs, which are no characters and cannot be stored."""
    try:
        json.dumps(json.loads(text), ensure_ascii=False).encode()
    except UnicodeEncodeError:
        raise EvaluationError("no JSON: half a surrogate pair") from None


def _octets(frame: Frame, value: str | bytes) -> bytes:
    charge(frame, len(value) >> 3)
    return value.encode() if type(value) is str else bytes(value)  # type: ignore[arg-type]


@function(
    GROUP,
    "base64.encode(bytes) -> string",
    "base64.encode(string) -> string",
    doc="Base64 of bytes, or of the UTF-8 of a text.",
    examples=[("base64.encode('hello')", '"aGVsbG8="')],
)
def base64_encode(frame: Frame, value: str | bytes) -> str:
    return base64.b64encode(_octets(frame, value)).decode("ascii")


@function(
    GROUP,
    "base64.decode(string) -> bytes",
    doc="The bytes of a base64 text, padded or not; `string(…)` makes text of them.",
    examples=[("string(base64.decode('aGVsbG8'))", '"hello"')],
)
def base64_decode(frame: Frame, text: str) -> bytes:
    charge(frame, len(text) >> 3)
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except (binascii.Error, ValueError):
        raise EvaluationError("no base64") from None


@function(
    GROUP,
    "base64.encodeUrl(bytes) -> string",
    "base64.encodeUrl(string) -> string",
    doc="Base64 with the alphabet for URLs, without padding.",
    examples=[("base64.encodeUrl('a?>')", '"YT8-"')],
)
def base64_encode_url(frame: Frame, value: str | bytes) -> str:
    return base64.urlsafe_b64encode(_octets(frame, value)).rstrip(b"=").decode("ascii")


@function(
    GROUP,
    "base64.decodeUrl(string) -> bytes",
    doc="The bytes of a base64 text with the alphabet for URLs.",
    examples=[("string(base64.decodeUrl('YT8-'))", '"a?>"')],
)
def base64_decode_url(frame: Frame, text: str) -> bytes:
    if "+" in text or "/" in text:
        raise EvaluationError("no base64 for URLs")
    return base64_decode(frame, text.replace("-", "+").replace("_", "/"))


@function(
    GROUP,
    "hex.encode(bytes) -> string",
    "hex.encode(string) -> string",
    doc="Two hexadecimal digits for each byte.",
    examples=[("hex.encode('hi')", '"6869"')],
)
def hex_encode(frame: Frame, value: str | bytes) -> str:
    return _octets(frame, value).hex()


@function(
    GROUP,
    "hex.decode(string) -> bytes",
    doc="The bytes hexadecimal digits stand for.",
    examples=[("string(hex.decode('6869'))", '"hi"')],
)
def hex_decode(frame: Frame, text: str) -> bytes:
    charge(frame, len(text) >> 3)
    try:
        return binascii.unhexlify(text)
    except (binascii.Error, ValueError):
        raise EvaluationError("no hexadecimal digits") from None


@function(
    GROUP,
    "url.encode(string) -> string",
    doc="Percent-encoded, fit for any part of a URL.",
    examples=[("url.encode('a b&c/d')", '"a%20b%26c%2Fd"')],
)
def url_encode(frame: Frame, text: str) -> str:
    charge(frame, 3 * len(text))
    return urllib.parse.quote(text, safe="")


@function(
    GROUP,
    "url.decode(string) -> string",
    doc="Percent-encoding undone.",
    examples=[("url.decode('a%20b')", '"a b"')],
)
def url_decode(frame: Frame, text: str) -> str:
    charge(frame, len(text) * 3)
    try:
        return urllib.parse.unquote(text, errors="strict")
    except UnicodeDecodeError:
        raise EvaluationError("the decoded bytes are not UTF-8") from None


@function(
    GROUP,
    "url.query(map) -> string",
    doc="Parameters of a URL; a list repeats its key, null is left out.",
    examples=[("url.query({'q': 'a b', 'page': 2, 'tag': ['x', 'y']})", '"q=a%20b&page=2&tag=x&tag=y"')],
)
def url_query(frame: Frame, parameters: dict[Any, Any]) -> str:
    pairs = []
    for key, value in to_plain_parameters(frame, parameters):
        charge(frame, 10 + len(key) + len(value))
        pairs.append(f"{urllib.parse.quote(key, safe='')}={urllib.parse.quote(value, safe='')}")
    return "&".join(pairs)


def to_plain_parameters(frame: Frame, parameters: dict[Any, Any]) -> list[tuple[str, str]]:
    """Each parameter and its text, one pair for each element of a list."""
    charge(frame, 4 * len(parameters))
    pairs = []
    for key, value in parameters.items():
        items = value if type(value) is list else [value]
        charge(frame, 4 * len(items))
        name = json_key(key)
        pairs += [
            (name, item if type(item) is str else json_text(frame, item))
            for item in items
            if item is not None
        ]
    return pairs


def _hash(name: str, example: str) -> None:
    def digest(frame: Frame, value: str | bytes) -> str:
        charge(frame, 20 + (len(value) >> 3))
        return hashlib.new(name, _octets(frame, value), usedforsecurity=False).hexdigest()

    function(
        GROUP,
        f"hash.{name}(string) -> string",
        f"hash.{name}(bytes) -> string",
        doc=f"The {name.upper()} of bytes, or of the UTF-8 of a text, in hexadecimal digits.",
        examples=[(f"hash.{name}('abc')", json.dumps(example))],
    )(digest)


_hash("md5", "900150983cd24fb0d6963f7d28e17f72")
_hash("sha1", "a9993e364706816aba3e25717850c26c9cd0d89d")
_hash("sha256", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad")
_hash(
    "sha512",
    "ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a"
    "2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f",
)


@function(
    GROUP,
    "hash.hmacSha256(string, string) -> string",
    "hash.hmacSha256(bytes, string) -> string",
    "hash.hmacSha256(bytes, bytes) -> string",
    doc="The HMAC-SHA256 of a message, after its key, in hexadecimal digits.",
    examples=[
        (
            "hash.hmacSha256('key', 'message')",
            '"6e9ef29b75fffc5b7abae527d58fdadb2fe42e7219011976917343065f58ed4a"',
        )
    ],
)
def hmac_sha256(frame: Frame, key: str | bytes, message: str | bytes) -> str:
    charge(frame, 40 + ((len(key) + len(message)) >> 3))
    return hmac.digest(_octets(frame, key), _octets(frame, message), "sha256").hex()
