"""SecretService, which gives no value back, and SecretResolutionService, which gives them to runners."""

from __future__ import annotations

from typing import Any

import grpc

from flow_engine.errors import InvalidRequest, LeaseLost, Problem
from flow_engine.ids import ExecutionId
from flow_engine.v1 import secret_pb2 as pb
from flow_engine.v1.secret_pb2_grpc import SecretResolutionServiceServicer, SecretServiceServicer
from services.executor.access.caller import current_namespace
from services.executor.definitions import Definitions
from services.executor.persistence.contract import ExecutionPersistence
from services.executor.secrets.vault import Listed, SecretVault
from services.executor.servicers.messages import timestamp
from services.executor.servicers.worker_servicer import claimed_namespace

Context = grpc.aio.ServicerContext[Any, Any]


class SecretServicer(SecretServiceServicer):
    def __init__(self, vault: SecretVault) -> None:
        self._vault = vault

    async def PutSecret(self, request: pb.PutSecretRequest, context: Context) -> pb.PutSecretResponse:  # noqa: N802
        kept, created = await self._vault.put(
            current_namespace(), request.name, request.value, list(request.hosts)
        )
        return pb.PutSecretResponse(secret=secret_info(kept), created=created)

    async def ListSecrets(  # noqa: N802
        self, request: pb.ListSecretsRequest, context: Context
    ) -> pb.ListSecretsResponse:
        return pb.ListSecretsResponse(secrets=map(secret_info, await self._vault.all_of(current_namespace())))

    async def DeleteSecret(  # noqa: N802
        self, request: pb.DeleteSecretRequest, context: Context
    ) -> pb.DeleteSecretResponse:
        await self._vault.delete(current_namespace(), request.name)
        return pb.DeleteSecretResponse()


class SecretResolutionServicer(SecretResolutionServiceServicer):
    def __init__(
        self, vault: SecretVault, persistence: ExecutionPersistence, definitions: Definitions
    ) -> None:
        self._vault = vault
        self._persistence = persistence
        self._definitions = definitions

    async def ResolveSecrets(  # noqa: N802
        self, request: pb.ResolveSecretsRequest, context: Context
    ) -> pb.ResolveSecretsResponse:
        """Only to the holder of the lease, and only what the definition names."""
        execution_id = ExecutionId(request.execution_id)
        namespace = await claimed_namespace(self._persistence, request)
        record = await self._persistence.get(execution_id, namespace)
        if record.epoch != request.epoch:
            raise LeaseLost(execution_id)
        definition = await self._definitions.stored(record.definition_hash, record.namespace)
        if foreign := sorted(set(request.names) - definition.graph.secrets):
            message = f"the definition of this execution names no secret {foreign[0]!r}"
            raise InvalidRequest([Problem("/names", "INVALID_VALUE", message)])
        found = await self._vault.get(record.namespace, request.names)
        return pb.ResolveSecretsResponse(
            secrets=[
                pb.ResolvedSecret(name=name, value=secret.value, hosts=secret.hosts)
                for name, secret in found.items()
            ]
        )


def secret_info(kept: Listed) -> pb.SecretInfo:
    return pb.SecretInfo(
        name=kept.name, hosts=kept.hosts, source=kept.source, updated_time=timestamp(kept.updated_at)
    )
