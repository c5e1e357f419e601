"""What lies in the stream is not what was put there: copies, and garbage."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import redis

from flow_engine.queue import STREAMS
from tests.chaos.fault import Fault, Round, Void
from tests.chaos.stage import LONG_LEASES, until


class JobDeliveredAgain(Fault):
    name = "job-delivered-100-times"
    summary = "copies of real jobs, a hundred of each, by XADD"
    settings = LONG_LEASES
    repeats_allowed = False
    refusals_allowed = False
    copies = 100

    async def inject(self, round_: Round) -> None:
        stage = round_.stage
        copied = 0
        with redis.Redis.from_url(stage.valkey.url) as client:
            for _ in round_.times(2, 5):
                await round_.pause(0.2, 0.8)
                for worker in stage.workers:
                    stage.freeze(worker)  # or the jobs would be gone before they are seen
                try:
                    await until(lambda: any(client.xlen(stream) for stream in STREAMS), 2.0)
                    copied += await asyncio.to_thread(self._copy, client)
                finally:
                    for worker in stage.workers:
                        stage.thaw(worker)
        round_.remarks.append(f"{copied} copies")
        if copied < self.copies:
            raise Void("there was no job to copy")

    def _copy(self, client: redis.Redis) -> int:
        copied = 0
        for stream in STREAMS:
            entries: Any = client.xrange(stream, count=5)
            with client.pipeline(transaction=False) as pipeline:
                for _, fields in entries:
                    for _ in range(self.copies):
                        pipeline.xadd(stream, fields)
                        copied += 1
                pipeline.execute()
        return copied


class GarbageInStream(Fault):
    name = "garbage-in-stream"
    summary = "no data, no JSON, unknown tasks, wrong arguments, a megabyte; then a stream that is no stream"
    settings = LONG_LEASES
    repeats_allowed = False
    refusals_allowed = False

    async def inject(self, round_: Round) -> None:
        with redis.Redis.from_url(round_.stage.valkey.url) as client:
            for _ in round_.times(3, 8):
                await round_.pause(0.2, 0.8)
                for piece in self._pieces(round_):
                    client.xadd(round_.chance.choice(STREAMS), piece)
            round_.say("threw garbage")
            stream = round_.chance.choice(STREAMS)
            client.delete(stream)
            client.set(stream, "not a stream")
            round_.say(f"made {stream} a string")
            await round_.pause(1.0, 2.0)
            client.delete(stream)
            drained = await until(lambda: not any(map(client.xlen, STREAMS)), 40.0, every=0.2)
            if not drained:
                left = {stream: client.xlen(stream) for stream in STREAMS}
                round_.violated("history", f"what nobody understands stays in the streams: {left}")

    def _pieces(self, round_: Round) -> list[dict[Any, Any]]:
        task = {"task_id": "x", "task_name": "advance", "labels": {}, "args": [], "kwargs": {}}
        return [
            {"no": "data"},
            {"data": ""},
            {"data": round_.chance.randbytes(200)},
            {"data": "x" * (1 << 20)},
            {"data": "[" * 50_000},
            {"data": json.dumps({**task, "task_name": "os.system", "args": ["true"]})},
            {"data": json.dumps({**task, "kwargs": {"priority_class": 7}})},
            {"data": json.dumps({**task, "kwargs": {"priority_class": "no", "execution_id": "'; --"}})},
        ]


FAULTS: tuple[Fault, ...] = (JobDeliveredAgain(), GarbageInStream())
