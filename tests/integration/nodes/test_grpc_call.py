"""grpc.call against a real gRPC server with reflection, well-behaved and not."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import grpc
import pytest
from google.protobuf import timestamp_pb2
from google.protobuf.descriptor_pb2 import (
    DescriptorProto,
    FieldDescriptorProto,
    FileDescriptorProto,
    FileDescriptorSet,
)
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message_factory import GetMessageClass
from grpc_reflection.v1alpha import reflection
from pydantic import ValidationError

from flow_engine.interpreter.events import Failure
from flow_engine.nodes.services import SharedServices
from tests.infra.egress import LOOPBACK_GUARD
from tests.infra.http2 import leaver
from tests.infra.ports import free_port
from tests.integration.nodes.servers import serve_bytes
from tests.integration.nodes.smtp_server import CERTIFICATE, TLS
from tests.unit.nodes import contexts

NEAR = SharedServices(LOOPBACK_GUARD)


def shop_files() -> list[FileDescriptorProto]:
    """shop.proto: a service of its own, that imports a well-known type."""
    kinds = FieldDescriptorProto
    order = DescriptorProto(name="Order")
    order.field.add(name="order_id", number=1, type=kinds.TYPE_INT64, label=kinds.LABEL_OPTIONAL)
    order.field.add(name="note", number=2, type=kinds.TYPE_STRING, label=kinds.LABEL_OPTIONAL)
    order.field.add(
        name="time",
        number=3,
        type=kinds.TYPE_MESSAGE,
        type_name=".google.protobuf.Timestamp",
        label=kinds.LABEL_OPTIONAL,
    )
    shop = FileDescriptorProto(
        name="shop.proto", package="shop", syntax="proto3", dependency=["google/protobuf/timestamp.proto"]
    )
    shop.message_type.append(order)
    service = shop.service.add(name="Orders")
    for name, in_stream, out_stream in (("Get", False, False), ("List", False, True), ("Put", True, False)):
        service.method.add(
            name=name,
            input_type=".shop.Order",
            output_type=".shop.Order",
            client_streaming=in_stream,
            server_streaming=out_stream,
        )
    timestamp = FileDescriptorProto()
    timestamp_pb2.DESCRIPTOR.CopyToProto(timestamp)
    return [timestamp, shop]


POOL = DescriptorPool()
for each in shop_files():
    POOL.Add(each)
Order: Any = GetMessageClass(POOL.FindMessageTypeByName("shop.Order"))


@dataclass
class Shop:
    """A server, what it was asked, and what it does."""

    port: int = 0
    metadata: dict[str, Any] = field(default_factory=dict)
    deadline_seconds: float | None = None
    asked: asyncio.Event = field(default_factory=asyncio.Event)
    cancelled: asyncio.Event = field(default_factory=asyncio.Event)

    async def get(self, request: Any, context: Any) -> Any:
        self.metadata = dict(context.invocation_metadata())
        self.deadline_seconds = context.time_remaining()
        self.asked.set()
        match request.note:
            case "wait":
                try:
                    return await asyncio.Event().wait()
                finally:
                    self.cancelled.set()
            case "big":
                return Order(note="x" * 100_000)
            case "":
                return Order(order_id=request.order_id + 1)
            case status:
                return await context.abort(grpc.StatusCode[status], "because")

    async def list(self, request: Any, context: Any) -> AsyncIterator[Any]:
        number = 0
        while request.order_id == 0 or number < request.order_id:
            number += 1
            yield Order(order_id=number)

    async def put(self, requests: Any, context: Any) -> Any:
        return Order()

    def handlers(self) -> grpc.GenericRpcHandler:
        codec: dict[str, Any] = {
            "request_deserializer": Order.FromString,
            "response_serializer": Order.SerializeToString,
        }
        return grpc.method_handlers_generic_handler(
            "shop.Orders",
            {
                "Get": grpc.unary_unary_rpc_method_handler(self.get, **codec),
                "List": grpc.unary_stream_rpc_method_handler(self.list, **codec),
                "Put": grpc.stream_unary_rpc_method_handler(self.put, **codec),
            },
        )


async def open_shop(*, reflected: bool = True, tls: bool = False) -> tuple[Shop, grpc.aio.Server]:
    shop, server = Shop(), grpc.aio.server()
    server.add_generic_rpc_handlers((shop.handlers(),))
    if reflected:
        reflection.enable_server_reflection(("shop.Orders", reflection.SERVICE_NAME), server, pool=POOL)
    if tls:
        pair = ((TLS / "localhost.key").read_bytes(), CERTIFICATE.read_bytes())
        shop.port = server.add_secure_port("127.0.0.1:0", grpc.ssl_server_credentials([pair]))
    else:
        shop.port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    return shop, server


@pytest.fixture
async def shop() -> AsyncIterator[Shop]:
    shop, server = await open_shop()
    yield shop
    await server.stop(None)


def raw(port: int, method: str = "shop.Orders/Get", **changes: Any) -> dict[str, Any]:
    return {"host": "127.0.0.1", "port": port, "method": method, "tls": False, **changes}


async def call(port: int, method: str = "shop.Orders/Get", **changes: Any) -> Any:
    return (
        await contexts.completed("grpc.call", raw(port, method, **changes), services=NEAR, step_key="k1")
    ).output


async def failure(port: int, method: str = "shop.Orders/Get", **changes: Any) -> Failure:
    return (await contexts.failed("grpc.call", raw(port, method, **changes), services=NEAR)).failure


async def test_a_unary_call_by_reflection(shop: Shop) -> None:
    output = await call(shop.port, request={"orderId": 2**53}, metadata={"X-Tag": "a", "x-bytes-bin": "AAE="})
    assert output == {"message": {"orderId": str(2**53 + 1), "note": ""}}
    assert shop.metadata["x-tag"] == "a"
    assert shop.metadata["x-bytes-bin"] == b"\0\1"
    assert shop.metadata["idempotency-key"] == "k1"
    assert shop.deadline_seconds is not None
    assert shop.deadline_seconds < 31


async def test_a_server_stream(shop: Shop) -> None:
    output = await call(shop.port, "shop.Orders/List", request={"orderId": 3})
    assert [message["orderId"] for message in output["messages"]] == ["1", "2", "3"]
    assert output["complete"] is True


async def test_a_stream_without_end_is_cut_off(shop: Shop) -> None:
    output = await call(shop.port, "shop.Orders/List", maxMessages=5)
    assert len(output["messages"]) == 5
    assert output["complete"] is False


async def test_a_descriptor_set_makes_reflection_unnecessary() -> None:
    shop, server = await open_shop(reflected=False)
    try:
        assert (await failure(shop.port)).code == "GRPC_METHOD"
        described = base64.b64encode(FileDescriptorSet(file=shop_files()).SerializeToString()).decode()
        assert await call(shop.port, descriptorSet=described) == {"message": {"orderId": "1", "note": ""}}
    finally:
        await server.stop(None)


async def test_encrypted_with_a_certificate_of_ones_own() -> None:
    shop, server = await open_shop(tls=True)
    try:
        trusted: dict[str, Any] = {
            "tls": True,
            "host": "localhost",
            "rootCertificates": CERTIFICATE.read_text(),
        }
        assert await call(shop.port, **trusted) == {"message": {"orderId": "1", "note": ""}}
        assert (await failure(shop.port, tls=True, host="localhost")).code == "GRPC_UNAVAILABLE"
    finally:
        await server.stop(None)


@pytest.mark.parametrize(
    ("status", "code", "retryable"),
    [
        ("NOT_FOUND", "GRPC_STATUS", False),
        ("INVALID_ARGUMENT", "GRPC_STATUS", False),
        ("UNKNOWN", "GRPC_STATUS", False),
        ("ABORTED", "GRPC_STATUS", True),
        ("RESOURCE_EXHAUSTED", "GRPC_STATUS", True),
        ("UNAVAILABLE", "GRPC_UNAVAILABLE", True),
        ("DEADLINE_EXCEEDED", "GRPC_TIMEOUT", True),
    ],
)
async def test_a_status_decides_how_it_fails(shop: Shop, status: str, code: str, retryable: bool) -> None:
    failed = await failure(shop.port, request={"note": status})
    assert (failed.code, failed.retryable) == (code, retryable), failed
    if code == "GRPC_STATUS":
        assert failed.details == {"status": status, "statusMessage": "because"}


@pytest.mark.parametrize(
    ("method", "request_", "code"),
    [
        ("shop.Orders/Nothing", {}, "GRPC_METHOD"),
        ("shop.Nobody/Get", {}, "GRPC_METHOD"),
        ("shop.Orders/Put", {}, "GRPC_METHOD"),
        ("shop.Orders/Get", {"orderID": "x"}, "GRPC_REQUEST"),
        ("shop.Orders/Get", {"orderId": "x"}, "GRPC_REQUEST"),
        ("shop.Orders/Get", {"time": "soon"}, "GRPC_REQUEST"),
    ],
)
async def test_what_is_not_there_fails_for_good(shop: Shop, method: str, request_: Any, code: str) -> None:
    failed = await failure(shop.port, method, request=request_)
    assert (failed.code, failed.retryable) == (code, False)


@pytest.mark.parametrize("described", ["?", "AAAA", ""])
async def test_a_useless_descriptor_set_fails_for_good(shop: Shop, described: str) -> None:
    assert (await failure(shop.port, descriptorSet=described)).code == "GRPC_METHOD"


@pytest.mark.parametrize(
    ("method", "request_"), [("shop.Orders/Get", {"note": "big"}), ("shop.Orders/List", {})]
)
async def test_too_long_an_answer_fails(shop: Shop, method: str, request_: Any) -> None:
    failed = await failure(shop.port, method, request=request_, maxResponseBytes=1500, maxMessages=10_000)
    assert failed.code == "GRPC_TOO_LARGE"


async def test_a_refused_connection_is_retryable() -> None:
    failed = await failure(free_port())
    assert (failed.code, failed.retryable) == ("GRPC_UNAVAILABLE", True)


async def test_a_server_that_goes_away_is_called_once() -> None:
    with leaver() as server:
        failed = await failure(server.port)
        assert (failed.code, failed.retryable, server.calls) == ("GRPC_UNAVAILABLE", True, 1)


@pytest.mark.parametrize("said", [b"", b"HTTP/1.1 400 Bad Request\r\n\r\n"])
async def test_what_is_no_grpc_server_fails(said: bytes) -> None:
    async def say(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(100)
        writer.write(said)

    async with serve_bytes(say) as address:
        failed = await failure(int(address.rpartition(":")[2]), timeoutMs=3000)
    assert failed.code in ("GRPC_UNAVAILABLE", "GRPC_TIMEOUT")


async def test_no_answer_in_time_is_retryable(shop: Shop) -> None:
    failed = await failure(shop.port, request={"note": "wait"}, timeoutMs=200)
    assert (failed.code, failed.retryable) == ("GRPC_TIMEOUT", True)


async def test_cancelling_reaches_the_server(shop: Shop) -> None:
    running = asyncio.create_task(call(shop.port, request={"note": "wait"}))
    await shop.asked.wait()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    await asyncio.wait_for(shop.cancelled.wait(), 5)


@pytest.mark.parametrize("wrong", [{"method": "Get"}, {"method": "a/b/c"}, {"port": 0}, {"host": "http://x"}])
def test_impossible_calls_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        contexts.config("grpc.call", {**raw(1), **wrong})


async def test_metadata_that_is_no_base64_fails(shop: Shop) -> None:
    assert (await failure(shop.port, metadata={"a-bin": "?"})).code == "CONFIG_INVALID"
