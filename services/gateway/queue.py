"""Workers and the queue, for operators."""

from __future__ import annotations

from flow_engine.v1 import operations_pb2 as pb
from services.gateway.call import Answer, Call, document
from services.gateway.queue_documents import queue_document, worker_list


async def list_workers(call: Call) -> Answer:
    """Who is there, since when, with how many free slots, and what each runs."""
    executor = call.services.executor
    answer = await executor.ask(executor.operations.ListWorkers, pb.ListWorkersRequest(), call.request_id)
    return document(worker_list(answer))


async def get_queue(call: Call) -> Answer:
    """How deep the queue is, how old, and what it is made of."""
    executor = call.services.executor
    answer = await executor.ask(executor.operations.GetQueue, pb.GetQueueRequest(), call.request_id)
    return document(queue_document(answer))
