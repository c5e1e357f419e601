from __future__ import annotations

import asyncio
import base64
from collections.abc import Mapping
from typing import Any, ClassVar

import grpc
from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.json_format import MessageToDict, ParseDict, ParseError
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from pydantic import Field

from flow_engine import tracing
from flow_engine.dialing import NO_RETRIES
from flow_engine.egress.guard import EGRESS_ERRORS
from flow_engine.nodes.connections import MAY_HOLD_SECRETS, Host, Port
from flow_engine.nodes.contract import Completed, Effect, NodeConfig, NodeContext, NodeError, NodeType
from flow_engine.nodes.grpc_descriptors import Files, files_by_reflection, files_of_set, find_method
from flow_engine.nodes.outputs import BOOLEAN, OBJECT, list_of, record
from flow_engine.payload import JsonValue

RETRYABLE_STATUS = frozenset({"UNAVAILABLE", "ABORTED", "RESOURCE_EXHAUSTED", "DEADLINE_EXCEEDED"})
MAX_RESPONSE_BYTES = 8 << 20
LONGEST_TOLD = 1000


class GrpcCallConfig(NodeConfig):
    host: Host = Field(description="Name or address of the server.")
    port: Port = Field(description="Its port.")
    method: str = Field(
        pattern=r"^/?[A-Za-z_][\w.]*/[A-Za-z_]\w*$",
        description="What to call: `shop.v1.OrderService/GetOrder`.",
    )
    request: dict[str, Any] = Field(
        default_factory=dict,
        description="The request message, in protobuf's JSON form.",
        json_schema_extra=MAY_HOLD_SECRETS,
    )
    metadata: dict[str, str] = Field(
        default_factory=dict,
        description="Metadata to send. Values of names that end in `-bin` are base64.",
        json_schema_extra=MAY_HOLD_SECRETS,
    )
    tls: bool = Field(default=True, description="Whether the connection is encrypted.")
    root_certificates: str | None = Field(
        default=None, description="Who may vouch for the server, as PEM; absent: the usual authorities."
    )
    descriptor_set: str | None = Field(
        default=None,
        description="A FileDescriptorSet with all imports, in base64, as `buf build -o -` writes it. "
        "Absent: asked by reflection.",
    )
    timeout_ms: int = Field(
        default=30_000, ge=1, le=3_600_000, description="For all of it; sent as deadline."
    )
    max_messages: int = Field(
        default=1000, ge=1, le=10_000, description="Of a server stream; after so many it is cut off."
    )
    max_response_bytes: int = Field(
        default=1 << 20, ge=1, le=MAX_RESPONSE_BYTES, description="All messages together; more fail."
    )


class GrpcCall(NodeType[GrpcCallConfig]):
    """Calls a gRPC service, unary or server-streaming.

    What the method takes and gives is asked of the server by reflection, or read from a descriptor set.
    Messages are in protobuf's JSON form: names in camelCase, 64-bit integers and bytes as strings, fields
    without presence always there. The output is `{"message": {…}}`, or for a stream `{"messages": […],
    "complete": …}`. The metadata carry an `idempotency-key` that is the same for every attempt of the step,
    unless you name one.
    """

    type = "grpc.call"
    title = "gRPC call"
    config_model = GrpcCallConfig
    example: ClassVar[dict[str, Any]] = {
        "host": "shop.example",
        "port": 443,
        "method": "shop.v1.OrderService/GetOrder",
        "request": {"orderId": "7"},
    }
    effect = Effect.EXTERNAL
    error_codes: ClassVar[Mapping[str, str]] = {
        "GRPC_UNAVAILABLE": "No connection, or the server says that it is not available. Retryable.",
        "GRPC_TIMEOUT": "No full answer in time. Retryable.",
        "GRPC_STATUS": "The call ended with another status; see `details`. Some are retryable.",
        "GRPC_METHOD": "The method is not known, or what describes it cannot be had.",
        "GRPC_REQUEST": "The request is no such message.",
        "GRPC_TOO_LARGE": "The answer is longer than `maxResponseBytes`.",
        **EGRESS_ERRORS,
        "CONFIG_INVALID": "The call cannot be made as it is described.",
    }

    def output_schema(self, config: Mapping[str, Any]) -> Mapping[str, Any]:
        return record(message=OBJECT, messages=list_of(OBJECT), complete=BOOLEAN)

    def typical_ms(self, config: Mapping[str, Any]) -> float:
        return 200.0

    async def run(self, context: NodeContext, config: GrpcCallConfig) -> Completed:
        try:
            async with asyncio.timeout(config.timeout_ms / 1000):
                address = await context.services.address_of(config.host, config.port)
                async with _channel(config, address) as channel:
                    return await _call(channel, config, context.step_key)
        except TimeoutError as error:
            raise NodeError(
                "GRPC_TIMEOUT", f"no full answer within {config.timeout_ms} ms", retryable=True
            ) from error
        except grpc.aio.AioRpcError as error:
            raise _failure(error) from error
        except OSError as error:
            raise NodeError("GRPC_UNAVAILABLE", f"{config.host} is not known", retryable=True) from error


def _channel(config: GrpcCallConfig, address: str) -> grpc.aio.Channel:
    options: list[tuple[str, Any]] = [
        NO_RETRIES,
        ("grpc.enable_http_proxy", 0),
        ("grpc.max_receive_message_length", config.max_response_bytes),
        ("grpc.max_send_message_length", -1),
        ("grpc.default_authority", f"{config.host}:{config.port}"),
    ]
    place = f"[{address}]" if ":" in address else address
    if not config.tls:
        return grpc.aio.insecure_channel(f"{place}:{config.port}", options)
    roots = config.root_certificates.encode() if config.root_certificates else None
    options.append(("grpc.ssl_target_name_override", config.host))
    return grpc.aio.secure_channel(
        f"{place}:{config.port}", grpc.ssl_channel_credentials(root_certificates=roots), options
    )


async def _call(channel: grpc.aio.Channel, config: GrpcCallConfig, step_key: str) -> Completed:
    service, _, name = config.method.strip("/").partition("/")
    method, pool = find_method(await _files(channel, config, service), service, name)
    if method.client_streaming:
        raise NodeError("GRPC_METHOD", f"{config.method} takes a stream; only single requests are supported")
    request: Any = _request(method, pool, config.request)
    options: dict[str, Any] = {
        "request_serializer": type(request).SerializeToString,
        "response_deserializer": GetMessageClass(method.output_type).FromString,
    }
    metadata = _metadata(config, step_key)
    path = f"/{service}/{name}"
    if method.server_streaming:
        stream: Any = channel.unary_stream(path, **options)(request, metadata=metadata)
        try:
            return Completed(await _gathered(stream, pool, config))
        finally:
            stream.cancel()
    single: Any = channel.unary_unary(path, **options)
    answer = await single(request, metadata=metadata, timeout=config.timeout_ms / 1000)
    return Completed({"message": _json(answer, pool)})


async def _files(channel: grpc.aio.Channel, config: GrpcCallConfig, service: str) -> Files:
    if config.descriptor_set is None:
        return await files_by_reflection(channel, service)
    try:
        return files_of_set(base64.b64decode(config.descriptor_set, validate=True))
    except ValueError as error:
        raise NodeError("GRPC_METHOD", "the descriptor set is no base64") from error


def _request(method: MethodDescriptor, pool: DescriptorPool, value: dict[str, JsonValue]) -> Message:
    message = GetMessageClass(method.input_type)()
    try:
        ParseDict(value, message, descriptor_pool=pool)
    except ParseError as error:
        raise NodeError(
            "GRPC_REQUEST", f"the request is no {method.input_type.full_name}: {_line(error)}"
        ) from error
    return message


def _line(error: ParseError) -> str:
    return str(error).partition("\n")[0][:LONGEST_TOLD]


def _metadata(config: GrpcCallConfig, step_key: str) -> list[tuple[str, str | bytes]]:
    given = {name.lower(): value for name, value in config.metadata.items()}
    try:
        return [
            (name, base64.b64decode(value, validate=True) if name.endswith("-bin") else value)
            for name, value in {"idempotency-key": step_key, **tracing.headers(), **given}.items()
        ]
    except ValueError as error:
        raise NodeError("CONFIG_INVALID", "metadata whose name ends in -bin must be base64") from error


async def _gathered(stream: Any, pool: DescriptorPool, config: GrpcCallConfig) -> dict[str, JsonValue]:
    messages: list[JsonValue] = []
    size = 0
    async for answer in stream:
        if len(messages) == config.max_messages:
            return {"messages": messages, "complete": False}
        size += answer.ByteSize()
        if size > config.max_response_bytes:
            raise _too_large(config.max_response_bytes)
        messages.append(_json(answer, pool))
    return {"messages": messages, "complete": True}


def _json(message: Message, pool: DescriptorPool) -> JsonValue:
    return MessageToDict(message, always_print_fields_with_no_presence=True, descriptor_pool=pool)


def _too_large(limit: int) -> NodeError:
    return NodeError("GRPC_TOO_LARGE", f"the answer is longer than {limit} bytes", limit=limit)


def _failure(error: grpc.aio.AioRpcError) -> NodeError:
    status, told = error.code().name, (error.details() or "")[:LONGEST_TOLD]
    match status:
        case "UNAVAILABLE":
            return NodeError("GRPC_UNAVAILABLE", "the service is not available", retryable=True)
        case "DEADLINE_EXCEEDED":
            return NodeError("GRPC_TIMEOUT", "no full answer in time", retryable=True)
        case "RESOURCE_EXHAUSTED" if "larger than max" in told:
            return NodeError("GRPC_TOO_LARGE", "the answer is longer than `maxResponseBytes`")
        case _:
            return NodeError(
                "GRPC_STATUS",
                f"the call ended with {status}" + (f": {told}" if told else ""),
                retryable=status in RETRYABLE_STATUS,
                status=status,
                statusMessage=told,
            )
