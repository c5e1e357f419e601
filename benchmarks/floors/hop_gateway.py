"""The near end of the bare hop: JSON in, one gRPC call, JSON out, on the same server as the gateway."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import grpc
import msgspec
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from flow_engine.v1 import execution_pb2 as pb
from flow_engine.v1.execution_pb2_grpc import ExecutionServiceStub

if TYPE_CHECKING:
    # The stubs as grpc.aio makes them exist for type checkers only.
    from flow_engine.v1.execution_pb2_grpc import ExecutionServiceAsyncStub


class Start(msgspec.Struct):
    workflow: msgspec.Raw
    input: msgspec.Raw
    mode: str


class Started(msgspec.Struct, rename="camel"):
    execution_id: str
    status: str
    output: msgspec.Raw


starts = msgspec.json.Decoder(Start)
answers = msgspec.json.Encoder()


def application(grpc_address: str) -> Starlette:
    stubs: list[ExecutionServiceAsyncStub] = []

    async def run(request: Request) -> Response:
        if not stubs:  # made in the loop that uses it
            stubs.append(ExecutionServiceStub(grpc.aio.insecure_channel(grpc_address)))
        body = starts.decode(await request.body())
        spec = pb.StartSpec(
            workflow_json=bytes(body.workflow).decode(), input_json=bytes(body.input).decode()
        )
        answer = await stubs[0].StartExecution(pb.StartExecutionRequest(spec=spec))
        started = Started(
            answer.execution.id, "completed", msgspec.Raw(answer.execution.output_json.encode())
        )
        return Response(answers.encode(started), media_type="application/json")

    return Starlette(routes=[Route("/run", run, methods=["POST"])])


class Announcing(uvicorn.Server):
    async def startup(self, sockets: object = None) -> None:
        await super().startup()
        print(f"ready {self.config.host}:{self.config.port}", flush=True)


if __name__ == "__main__":
    host, _, port = os.environ["FLOOR_HTTP_ADDRESS"].rpartition(":")
    config = uvicorn.Config(
        application(os.environ["FLOOR_GRPC_ADDRESS"]),
        host=host,
        port=int(port),
        loop="uvloop",
        http="httptools",
        access_log=False,
        log_level="warning",
    )
    Announcing(config).run()
