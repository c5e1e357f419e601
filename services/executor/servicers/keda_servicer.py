"""KEDA's external scaler: how many workers there shall be, by what there is to run.

The load is what is ready in the queue plus what workers run; one worker carries `slotsPerWorker` of it.
Source: https://keda.sh/docs/latest/concepts/external-scalers/
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import grpc

from flow_engine.errors import InvalidRequest, Problem
from flow_engine.keda import externalscaler_pb2 as pb
from flow_engine.keda.externalscaler_pb2_grpc import ExternalScalerServicer
from services.executor.persistence.operations import SqlOperations
from services.executor.roster import Roster

Context = grpc.aio.ServicerContext[Any, Any]

METRIC = "flow_load"
SLOTS_PER_WORKER = 16
LOOK_SECONDS = 1.0


class KedaServicer(ExternalScalerServicer):
    def __init__(self, store: SqlOperations, roster: Roster) -> None:
        self._store = store
        self._roster = roster

    async def IsActive(self, request: pb.ScaledObjectRef, context: Context) -> pb.IsActiveResponse:  # noqa: N802
        return pb.IsActiveResponse(result=await self._load() > 0)

    async def StreamIsActive(  # noqa: N802
        self, request: pb.ScaledObjectRef, context: Context
    ) -> AsyncIterator[pb.IsActiveResponse]:
        """Says at once how it is, and then each change within a second."""
        told: bool | None = None
        while True:
            active = await self._load() > 0
            if active is not told:
                told = active
                yield pb.IsActiveResponse(result=active)
            await asyncio.sleep(LOOK_SECONDS)

    async def GetMetricSpec(  # noqa: N802
        self, request: pb.ScaledObjectRef, context: Context
    ) -> pb.GetMetricSpecResponse:
        slots = slots_per_worker(request)
        spec = pb.MetricSpec(metricName=METRIC, targetSize=slots, targetSizeFloat=slots)
        return pb.GetMetricSpecResponse(metricSpecs=[spec])

    async def GetMetrics(self, request: pb.GetMetricsRequest, context: Context) -> pb.GetMetricsResponse:  # noqa: N802
        if request.metricName not in ("", METRIC):
            message = f"{request.metricName!r} is not known; there is {METRIC}"
            raise InvalidRequest([Problem("/metricName", "INVALID_VALUE", message)])
        load = await self._load()
        value = pb.MetricValue(metricName=METRIC, metricValue=load, metricValueFloat=load)
        return pb.GetMetricsResponse(metricValues=[value])

    async def _load(self) -> int:
        return (await self._store.depth()).ready + self._roster.busy_slots


def slots_per_worker(request: pb.ScaledObjectRef) -> int:
    """`slotsPerWorker` of the scaled object's metadata. Raises InvalidRequest."""
    given = request.scalerMetadata.get("slotsPerWorker", str(SLOTS_PER_WORKER))
    if given.isascii() and given.isdigit() and 0 < int(given) <= 10_000:
        return int(given)
    message = f"a whole number from 1 to 10000 was expected, not {given[:40]!r}"
    raise InvalidRequest([Problem("/scalerMetadata/slotsPerWorker", "INVALID_VALUE", message)])
