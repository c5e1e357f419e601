"""Secrets: kept, named, deleted, never given back."""

from __future__ import annotations

from typing import Annotated

from msgspec import UNSET, Meta, UnsetType
from starlette.responses import Response

from flow_engine.v1 import secret_pb2 as pb
from services.gateway.bodies import Body, Name
from services.gateway.call import Answer, Call, document
from services.gateway.documents import Document, Instant, instant_of

Hosts = Annotated[
    list[Name],
    Meta(description="Where it may be sent: host names, addresses, *.example.com; * is anywhere."),
]


class SecretBody(Body, frozen=True, kw_only=True):
    """A secret and where it may go."""

    value: Annotated[str, Meta(description="4 characters to 64 KiB.")]
    hosts: Hosts


class NewSecretBody(SecretBody, frozen=True, kw_only=True):
    name: Annotated[Name, Meta(description="Letters, digits and _, no digit first.")]


class SecretDocument(Document, frozen=True, kw_only=True):
    """All that is told of a secret."""

    name: str
    hosts: list[str]
    source: Annotated[str, Meta(description="database, environment, files, or the name of a provider.")]
    updated_at: Instant | UnsetType = UNSET


class SecretList(Document, frozen=True, kw_only=True):
    """By name."""

    secrets: list[SecretDocument]


async def list_secrets(call: Call) -> Answer:
    """The names of all secrets that workflows may use. Their values are never told."""
    executor = call.services.executor
    answer = await executor.ask(executor.secrets.ListSecrets, pb.ListSecretsRequest(), call.request_id)
    return document(secret_list(answer))


async def create_secret(call: Call) -> Answer:
    """Keep a secret, in place of one that has its name."""
    body = await call.decoded(NewSecretBody)
    return await _kept(call, body.name, body)


async def put_secret(call: Call) -> Answer:
    """Keep a secret, in place of one that has its name."""
    return await _kept(call, call.path["name"], await call.decoded(SecretBody))


async def delete_secret(call: Call) -> Answer:
    executor = call.services.executor
    request = pb.DeleteSecretRequest(name=call.path["name"])
    await executor.ask(executor.secrets.DeleteSecret, request, call.request_id, repeat=False)
    return Response(status_code=204)


async def _kept(call: Call, name: str, body: SecretBody) -> Response:
    executor = call.services.executor
    request = pb.PutSecretRequest(name=name, value=body.value, hosts=body.hosts)
    answer = await executor.ask(executor.secrets.PutSecret, request, call.request_id)
    return document(secret_document(answer.secret), 201 if answer.created else 200)


def secret_list(answer: pb.ListSecretsResponse) -> SecretList:
    return SecretList(secrets=[secret_document(secret) for secret in answer.secrets])


def secret_document(secret: pb.SecretInfo) -> SecretDocument:
    return SecretDocument(
        name=secret.name,
        hosts=list(secret.hosts),
        source=secret.source,
        updated_at=instant_of(secret, "updated_time"),
    )
