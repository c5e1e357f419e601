"""What KEDA is told of the load."""

from __future__ import annotations

import asyncio
from typing import Any

import grpc
import pytest

from flow_engine.keda import externalscaler_pb2 as pb
from flow_engine.keda.externalscaler_pb2_grpc import ExternalScalerStub
from flow_engine.metrics import MetricsSettings
from flow_engine.v1.execution_pb2 import EXECUTION_MODE_QUEUED
from services.executor.bootstrap import Executor
from services.worker.service import Worker
from tests.integration.executor.conftest import Client, MakeSettings, SlowServer
from tests.integration.executor.workflows import call, chain
from tests.integration.test_metrics import scraped


async def test_it_is_active_while_there_is_work_in_the_queue_or_at_a_worker(
    client: Client, worker: Worker, slow_server: SlowServer
) -> None:
    scaler: Any = ExternalScalerStub(client.channel)
    ours = pb.ScaledObjectRef(name="workers", scalerMetadata={"slotsPerWorker": "4"})
    changes = scaler.StreamIsActive(ours)
    assert not (await changes.read()).result
    assert not (await scaler.IsActive(ours)).result

    started = await client.start(chain(call("a", slow_server.url)), mode=EXECUTION_MODE_QUEUED)
    await slow_server.asked.acquire()
    assert (await changes.read()).result
    assert (await scaler.IsActive(ours)).result
    (metric,) = (await scaler.GetMetrics(pb.GetMetricsRequest(scaledObjectRef=ours))).metricValues
    assert (metric.metricName, metric.metricValue) == ("flow_load", 1)

    slow_server.answer.set()
    await client.ended(started.execution.id)
    assert not (await changes.read()).result


async def test_without_workers_the_load_is_what_is_ready(client: Client) -> None:
    scaler: Any = ExternalScalerStub(client.channel)
    for _ in range(3):
        await client.start(chain(call("a", "http://127.0.0.1:9/")), mode=EXECUTION_MODE_QUEUED)
    answer = await scaler.GetMetrics(pb.GetMetricsRequest(metricName="flow_load"))
    assert [metric.metricValue for metric in answer.metricValues] == [3]


async def test_its_target_is_what_one_worker_carries(client: Client) -> None:
    scaler: Any = ExternalScalerStub(client.channel)
    (spec,) = (await scaler.GetMetricSpec(pb.ScaledObjectRef())).metricSpecs
    assert (spec.metricName, spec.targetSize) == ("flow_load", 16)
    for wrong in ("0", "many", "²"):
        with pytest.raises(grpc.aio.AioRpcError, match="whole number") as refused:
            await scaler.GetMetricSpec(pb.ScaledObjectRef(scalerMetadata={"slotsPerWorker": wrong}))
        assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    with pytest.raises(grpc.aio.AioRpcError, match="there is flow_load"):
        await scaler.GetMetrics(pb.GetMetricsRequest(metricName="cpu"))


async def test_prometheus_reads_the_same_figures(
    make_settings: MakeSettings, slow_server: SlowServer
) -> None:
    executor = Executor(make_settings(metrics=MetricsSettings("127.0.0.1")))
    await executor.start()
    client = Client(executor.address)
    try:
        await client.start(chain(call("a", slow_server.url)), mode=EXECUTION_MODE_QUEUED)
        await executor.queue_gauge.turn()
        found = await asyncio.to_thread(scraped, executor.metrics.address)
        assert (found["flow_pending"], found["flow_busy_slots"], found["flow_workers"]) == (1, 0, 0)
    finally:
        await client.channel.close()
        await executor.stop()
