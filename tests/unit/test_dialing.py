"""No channel of ours leaves it to gRPC to repeat calls: docs/decisions/0012."""

from __future__ import annotations

from typing import Any

import grpc
import pytest

from flow_engine.dialing import Dial
from flow_engine.otlp import Batch, Exporter
from tests.infra.http2 import leaver

METHOD = "/flow_engine.v1.ExecutionService/WatchExecution"


async def test_a_stream_that_was_not_taken_is_not_repeated() -> None:
    with leaver() as server:
        async with Dial(f"127.0.0.1:{server.port}").aio_channel() as channel:
            watch: Any = channel.unary_stream(METHOD)
            with pytest.raises(grpc.aio.AioRpcError) as refused:
                await watch(b"", timeout=10).read()
        assert refused.value.code() is grpc.StatusCode.UNAVAILABLE
        assert server.calls == 1


def test_a_call_that_was_not_taken_is_not_repeated() -> None:
    with leaver() as server:
        with Dial(f"127.0.0.1:{server.port}").channel(()) as channel:
            call: Any = channel.unary_unary(METHOD)
            with pytest.raises(grpc.RpcError) as refused:
                call(b"", timeout=10)
        assert refused.value.code() is grpc.StatusCode.UNAVAILABLE
        assert server.calls == 1


def test_spans_that_were_not_taken_are_not_repeated(monkeypatch: pytest.MonkeyPatch) -> None:
    with leaver() as server:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{server.port}")
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "0.5")  # less than the exporter's first pause
        exporter = Exporter({})
        try:
            assert not exporter.takes(Batch(b"", 0))
        finally:
            exporter.shutdown()
        assert server.calls == 1
