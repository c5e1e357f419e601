"""The far end of the bare hop: a gRPC server that answers every start at once, and keeps nothing."""

from __future__ import annotations

import asyncio
import os
from typing import Any

import grpc
import uvloop

from flow_engine.ids import new_execution_id
from flow_engine.v1 import execution_pb2 as pb

SERVICE = pb.DESCRIPTOR.services_by_name["ExecutionService"].full_name


async def start_execution(request: pb.StartExecutionRequest, context: Any) -> pb.StartExecutionResponse:
    execution = pb.Execution(
        id=new_execution_id(), status=pb.EXECUTION_STATUS_COMPLETED, output_json=request.spec.input_json
    )
    return pb.StartExecutionResponse(execution=execution, created=True)


async def serve(address: str) -> None:
    server = grpc.aio.server(options=[("grpc.so_reuseport", 0)])
    handler = grpc.unary_unary_rpc_method_handler(
        start_execution,
        request_deserializer=pb.StartExecutionRequest.FromString,
        response_serializer=pb.StartExecutionResponse.SerializeToString,
    )
    server.add_generic_rpc_handlers(
        [grpc.method_handlers_generic_handler(SERVICE, {"StartExecution": handler})]
    )
    server.add_insecure_port(address)
    await server.start()
    print(f"ready {address}", flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    uvloop.run(serve(os.environ["FLOOR_GRPC_ADDRESS"]))
