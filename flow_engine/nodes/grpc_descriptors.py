"""Finding out what a gRPC method takes and gives: from a descriptor set, or from the server by reflection."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import grpc
from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.descriptor_pb2 import FileDescriptorProto, FileDescriptorSet
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message import DecodeError
from grpc_reflection.v1alpha.reflection_pb2 import ServerReflectionRequest, ServerReflectionResponse

from flow_engine.nodes.contract import NodeError

REFLECTION_METHODS = (
    "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
    "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
)
"""Newest first. Their messages look alike on the wire."""
MAX_FILES = 1000

Files = Mapping[str, FileDescriptorProto]


def files_of_set(descriptor_set: bytes) -> Files:
    """The files of a serialized FileDescriptorSet. Raises NodeError GRPC_METHOD."""
    try:
        files = FileDescriptorSet.FromString(descriptor_set)
    except DecodeError as error:
        raise NodeError("GRPC_METHOD", "the descriptor set cannot be read") from error
    return {file.name: file for file in files.file}


async def files_by_reflection(channel: grpc.aio.Channel, service: str) -> Files:
    """The file that defines `service` and all that it imports, asked of the server.

    Raises NodeError GRPC_METHOD if the server does not know, grpc.aio.AioRpcError if it cannot be asked.
    """
    for method in REFLECTION_METHODS:
        try:
            return await _reflected(channel, method, service)
        except grpc.aio.AioRpcError as error:
            if error.code() is not grpc.StatusCode.UNIMPLEMENTED:
                raise
    raise NodeError("GRPC_METHOD", "the server offers no reflection; give a `descriptorSet`")


async def _reflected(channel: grpc.aio.Channel, method: str, service: str) -> Files:
    # One question a stream. Asked one after the other in the same stream, a call that ends while a question
    # is being sent ends as INTERNAL, whatever the server said.
    ask: Any = channel.unary_stream(
        method,
        request_serializer=ServerReflectionRequest.SerializeToString,
        response_deserializer=ServerReflectionResponse.FromString,
    )
    files = await _asked(ask, ServerReflectionRequest(file_containing_symbol=service))
    while missing := _missing(files):
        if len(files) >= MAX_FILES:
            raise NodeError("GRPC_METHOD", f"the service is defined in more than {MAX_FILES} files")
        files |= await _asked(ask, ServerReflectionRequest(file_by_filename=missing))
    return files


async def _asked(ask: Any, request: ServerReflectionRequest) -> dict[str, FileDescriptorProto]:
    call = ask(request)
    try:
        answer = await call.read()
    finally:
        call.cancel()
    wanted = request.file_containing_symbol or request.file_by_filename
    if answer is grpc.aio.EOF:
        raise NodeError("GRPC_METHOD", "the server broke its reflection off")
    if not answer.HasField("file_descriptor_response"):
        raise NodeError("GRPC_METHOD", f"the server does not know {wanted!r}")
    try:
        files = map(FileDescriptorProto.FromString, answer.file_descriptor_response.file_descriptor_proto)
        found = {file.name: file for file in files}
    except DecodeError as error:
        raise NodeError("GRPC_METHOD", f"the server's description of {wanted!r} cannot be read") from error
    if request.file_by_filename and request.file_by_filename not in found:
        raise NodeError("GRPC_METHOD", f"the server does not know {wanted!r}")
    return found


def _missing(files: Files) -> str | None:
    imported = (name for file in files.values() for name in file.dependency)
    return next((name for name in imported if name not in files), None)


def find_method(files: Files, service: str, method: str) -> tuple[MethodDescriptor, DescriptorPool]:
    """The method, and the pool that holds its types. Raises NodeError GRPC_METHOD."""
    pool = DescriptorPool()
    try:
        for file in _imports_first(files):
            pool.Add(file)
        return pool.FindMethodByName(f"{service}.{method}"), pool
    except KeyError as error:
        raise NodeError("GRPC_METHOD", f"there is no method {service}/{method}") from error
    except TypeError as error:
        raise NodeError("GRPC_METHOD", f"the description of {service} contradicts itself") from error


def _imports_first(files: Files) -> Iterable[FileDescriptorProto]:
    """Every file once, after those that it imports; imports in a circle count once."""
    ordered: dict[str, FileDescriptorProto] = {}
    begun: set[str] = set()
    waiting = list(files)[::-1]
    while waiting:
        name = waiting[-1]
        open_imports = [each for each in files[name].dependency if each in files and each not in begun]
        begun.add(name)
        if open_imports:
            waiting.extend(open_imports)
        else:
            ordered[waiting.pop()] = files[name]
    return ordered.values()
