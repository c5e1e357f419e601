from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Mapping
from typing import Any, ClassVar, Literal

from pydantic import Field

from flow_engine.nodes.contract import Completed, NodeConfig, NodeContext, NodeError, NodeType
from flow_engine.nodes.outputs import STRING
from flow_engine.payload import JsonValue, encode


class DataHashConfig(NodeConfig):
    value: Any = Field(description="A string, hashed as UTF-8; any other value is hashed as canonical JSON.")
    value_encoding: Literal["text", "base64"] = Field(
        default="text", description="`base64`: the value is a string of bytes in base64."
    )
    algorithm: Literal["sha256", "sha384", "sha512", "sha3_256", "sha3_512", "blake2b", "sha1", "md5"] = (
        Field(
            default="sha256",
            description="`sha1` and `md5` only for systems that ask for them: they are broken.",
        )
    )
    secret: str | None = Field(
        default=None, description="Makes it an HMAC with this key.", json_schema_extra={"x-secret": True}
    )
    encoding: Literal["hex", "base64", "base64url"] = Field(
        default="hex", description="How the digest is written."
    )


class DataHash(NodeType[DataHashConfig]):
    """Computes a hash or an HMAC.

    The output is the digest as a string. Values that are equal as JSON have one hash: objects are written
    with sorted keys and without spaces.
    """

    type = "data.hash"
    title = "Hash"
    config_model = DataHashConfig
    example: ClassVar[dict[str, Any]] = {"value": "hello", "secret": "key"}
    inline = True
    error_codes: ClassVar[dict[str, str]] = {
        "HASH_INPUT": "The value is no base64 although `valueEncoding` says so."
    }

    def output_schema(self, config: Mapping[str, Any]) -> Mapping[str, Any]:
        return STRING

    async def run(self, context: NodeContext, config: DataHashConfig) -> Completed:
        data = _bytes(config)
        if config.secret is None:
            digest = hashlib.new(config.algorithm, data, usedforsecurity=False).digest()
        else:
            digest = hmac.new(config.secret.encode(), data, config.algorithm).digest()
        return Completed(_written(digest, config.encoding))


def _bytes(config: DataHashConfig) -> bytes:
    if config.value_encoding == "text":
        return config.value.encode() if isinstance(config.value, str) else encode(_canonical(config.value))
    try:
        return base64.b64decode(config.value, validate=True)
    except (TypeError, ValueError) as error:
        raise NodeError("HASH_INPUT", "the value is no string of base64") from error


def _canonical(value: JsonValue) -> JsonValue:
    """Equal values look alike: keys sorted, whole numbers as integers."""
    match value:
        case dict():
            return {key: _canonical(value[key]) for key in sorted(value)}
        case list():
            return [_canonical(item) for item in value]
        case float() if value.is_integer():
            return int(value)
        case _:
            return value


def _written(digest: bytes, encoding: str) -> str:
    match encoding:
        case "hex":
            return digest.hex()
        case "base64":
            return base64.b64encode(digest).decode()
        case _:
            return base64.urlsafe_b64encode(digest).decode().rstrip("=")
