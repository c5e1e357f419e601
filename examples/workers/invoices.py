"""Does the tasks of a queue: python examples/workers/invoices.py localhost:50051 invoices"""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any

import grpc

from flow_engine.v1 import task_pb2 as pb
from flow_engine.v1.task_pb2_grpc import TaskServiceStub


async def work(task: pb.Task) -> Any:
    """The output of one task; what it raises is reported as its failure."""
    order = json.loads(task.input_json)
    if not order["lines"]:
        raise ValueError("an invoice needs lines")
    total = sum(line["quantity"] * line["price"] for line in order["lines"])
    return {"number": f"INV-{order['orderId']}", "total": total}


async def keep(tasks: Any, task: pb.Task, working: asyncio.Future[Any]) -> None:
    """Keeps the task by heartbeats, and stops working on it when its result is not wanted any more."""
    while True:
        await asyncio.sleep(task.lease.ToTimedelta().total_seconds() / 3)
        if (await tasks.HeartbeatTask(pb.HeartbeatTaskRequest(token=task.token))).cancelled:
            working.cancel()


async def main(address: str, queue: str) -> None:
    async with grpc.aio.insecure_channel(address) as channel:
        tasks: Any = TaskServiceStub(channel)
        while True:
            task = (await tasks.PollTask(pb.PollTaskRequest(queue=queue), wait_for_ready=True)).task
            if not task.token:
                continue  # there was none for a while: ask again
            working = asyncio.ensure_future(work(task))
            keeping = asyncio.ensure_future(keep(tasks, task, working))
            try:
                output = json.dumps(await working)
                await tasks.CompleteTask(pb.CompleteTaskRequest(token=task.token, output_json=output))
            except (ValueError, KeyError) as error:
                failed = pb.FailTaskRequest(token=task.token, message=str(error), retryable=False)
                await tasks.FailTask(failed)
            except asyncio.CancelledError:
                print(f"execution {task.execution_id} was cancelled")
            keeping.cancel()


asyncio.run(main(*sys.argv[1:]))
