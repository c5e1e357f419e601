"""Deliveries: checked, started once by their id, and answered by the workflow where it does so in time."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import structlog
from msgspec import UNSET

from flow_engine.errors import (
    InvalidRequest,
    Problem,
    SecretUnreadable,
    SignatureRefused,
    WebhookNotFound,
)
from flow_engine.ids import ExecutionId, content_hash
from flow_engine.interpreter.events import StepCompleted, decode_events
from flow_engine.nodes.webhook_respond import WebhookRespond, unfit_header
from flow_engine.payload import JsonValue, decode, encode
from flow_engine.secrets import Secret
from flow_engine.workflow.parsing import parse_json
from services.executor.database_clock import DatabaseClock
from services.executor.inputs import MAX_INPUT_BYTES
from services.executor.manager import ExecutionManager
from services.executor.persistence.contract import TERMINAL, ExecutionPersistence
from services.executor.persistence.webhooks import SqlWebhooks, Webhook, WebhookSpec
from services.executor.secrets.keyring import Keyring
from services.executor.starts import StartRequest
from services.executor.triggers import signatures
from services.executor.watch import ends

log = structlog.get_logger()

ANSWERS_AT_ONCE = ("execution.waiting", "execution.paused")


@dataclass(frozen=True, slots=True)
class Delivery:
    """One call to a webhook, as it came."""

    path: str
    body: bytes
    content_type: str = ""
    delivery_id: str = ""
    timestamp: str = ""
    signature: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    query: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Answer:
    """What the caller is told. status: of the execution."""

    execution_id: ExecutionId
    status: str
    created: bool
    http_status: int
    headers: Mapping[str, str]
    body: bytes
    responded: bool = False


class Webhooks:
    def __init__(
        self,
        store: SqlWebhooks,
        keyring: Keyring,
        manager: ExecutionManager,
        persistence: ExecutionPersistence,
        database_clock: DatabaseClock,
    ) -> None:
        self._store = store
        self._keyring = keyring
        self._manager = manager
        self._persistence = persistence
        self._database_clock = database_clock

    async def start(self) -> None:
        """Encrypt with the newest key what another one encrypted. Raises Unavailable."""
        newest = self._keyring.newest_id
        for webhook in await self._store.of_other_keys(newest) if newest else ():
            try:
                secret = self._secret_of(webhook)
            except SecretUnreadable:
                log.error("webhook.secret_unreadable", namespace=webhook.namespace, path=webhook.path)
                continue
            await self._store.reseal(webhook, *self._sealed(webhook.namespace, webhook.path, secret))

    async def put(
        self, namespace: str, path: str, spec: WebhookSpec, secret: str, *, rotate: bool
    ) -> tuple[Webhook, bool, str]:
        """The webhook, whether it is new, and the secret if it was made now.

        Raises InvalidRequest, NoSecretsKey, WebhookPathTaken.
        """
        if secret:
            signatures.key_of(secret)
        made = "" if secret or not spec.signed else await self._needed(namespace, path, rotate=rotate)
        sealed = self._sealed(namespace, path, secret or made) if secret or made else None
        webhook, created = await self._store.put(namespace, path, spec, sealed)
        return webhook, created, made

    async def _needed(self, namespace: str, path: str, *, rotate: bool) -> str:
        try:
            present = await self._store.get(path, namespace)
        except WebhookNotFound:
            return signatures.new_secret()
        return signatures.new_secret() if rotate or not present.sealed else ""

    def _sealed(self, namespace: str, path: str, secret: str) -> tuple[bytes, str]:
        return self._keyring.seal(namespace, f"webhook {path}", Secret(secret, ()))

    def _secret_of(self, webhook: Webhook) -> str:
        """Raises SecretUnreadable."""
        return self._keyring.open(webhook.namespace, f"webhook {webhook.path}", webhook.sealed).value

    async def deliver(self, delivery: Delivery, seconds: float | None) -> Answer:
        """Start what it starts, and wait for an answer as long as the webhook and `seconds` allow.

        Raises WebhookNotFound, SignatureRefused, and what refuses the start.
        """
        webhook = await self._store.get(delivery.path)
        if webhook.spec.paused:
            raise WebhookNotFound(delivery.path)
        self._check(webhook, delivery)
        accepted = await self._manager.start(start_request(webhook, delivery), at_once=True)
        wait = webhook.spec.wait_ms / 1000
        execution_id = accepted.run.execution_id
        said = await self._said(
            execution_id, webhook.namespace, wait if seconds is None else min(wait, seconds)
        )
        view = await self._manager.glance(accepted.run, webhook.namespace)
        status = view.record.status
        if said is not None:
            return Answer(execution_id, status, accepted.created, *said, responded=True)
        if status not in TERMINAL:
            return Answer(execution_id, status, accepted.created, 202, {}, b"")
        output = await self._manager.output_text(view)
        return Answer(execution_id, status, accepted.created, 200, {}, (output or "").encode())

    def _check(self, webhook: Webhook, delivery: Delivery) -> None:
        if len(delivery.delivery_id) > signatures.MOST_ID_LENGTH:
            raise SignatureRefused(f"webhook-id has more than {signatures.MOST_ID_LENGTH} characters")
        if webhook.spec.signed:
            signatures.check(
                self._secret_of(webhook),
                delivery.delivery_id,
                delivery.timestamp,
                delivery.signature,
                delivery.body,
                self._database_clock.now(),
            )

    async def _said(
        self, execution_id: ExecutionId, namespace: str, seconds: float
    ) -> tuple[int, Mapping[str, str], bytes] | None:
        """The answer of its first webhook.respond, if that comes in time and before it ends or waits."""
        record = await self._persistence.get(execution_id, namespace)
        responding = {
            node_id
            for node_id, node_type in (await self._manager.node_types(record)).items()
            if node_type == WebhookRespond.type
        }
        if not responding and record.mode == "queued":
            return None  # its end may be far away
        last_words = (*ANSWERS_AT_ONCE, *(() if responding else ("execution.promoted",)))
        try:
            async with asyncio.timeout(seconds):
                async for news in self._manager.watch(execution_id, 0, namespace):
                    for batch in news.batches:
                        for event in decode_events(batch.events_json, batch.first_sequence):
                            if isinstance(event, StepCompleted) and event.node_id in responding:
                                return said(await self._output(event, namespace))
                        if ends(batch) or any(word.encode() in batch.events_json for word in last_words):
                            return None
        except TimeoutError:
            pass
        return None

    async def _output(self, event: StepCompleted, namespace: str) -> JsonValue:
        if event.output_ref is not None:
            return decode(await self._persistence.payload(event.output_ref.hash, namespace))
        return None if event.output is UNSET else event.output


def said(output: JsonValue) -> tuple[int, Mapping[str, str], bytes]:
    """Checked once more: what a history holds was written by a worker."""
    headers = {
        name: value for name, value in output["headers"].items() if not unfit_header(str(name), str(value))
    }
    body = output["body"]
    given = {name.lower() for name in headers}
    if body is None:
        return output["status"], headers, b""
    if "content-type" not in given:
        kind = "text/plain; charset=utf-8" if isinstance(body, str) else "application/json"
        headers["Content-Type"] = kind
    return output["status"], headers, body.encode() if isinstance(body, str) else encode(body)


def start_request(webhook: Webhook, delivery: Delivery) -> StartRequest:
    """The same for the same delivery: its id makes it a repetition, of the same body only."""
    spec = webhook.spec
    request_id = ""
    if delivery.delivery_id:
        named = f"{webhook.path} {delivery.delivery_id}"
        request_id = f"webhook:{content_hash(named.encode())}"
    return StartRequest(
        workflow_id=spec.workflow_id,
        workflow_version=spec.workflow_version,
        input_json=input_of(delivery).decode(),
        mode=spec.mode,
        priority=spec.priority,
        tags=(*spec.tags, f"webhook:{webhook.path}"),
        request_id=request_id,
        request_hash=content_hash(delivery.body) if request_id else "",
        namespace=webhook.namespace,
    )


def input_of(delivery: Delivery) -> bytes:
    """`{body, headers, query, deliveryId?}`; a JSON body keeps every number. Raises InvalidRequest."""
    fields: dict[str, Any] = {
        "body": body_of(delivery),
        "headers": dict(delivery.headers),
        "query": dict(delivery.query),
    }
    if delivery.delivery_id:
        fields["deliveryId"] = delivery.delivery_id
    return encode(fields)


def body_of(delivery: Delivery) -> Any:
    kind = delivery.content_type.partition(";")[0].strip().lower()
    if kind == "application/json" or kind.endswith("+json"):
        if not delivery.body:
            return None
        return parse_json(delivery.body, max_bytes=MAX_INPUT_BYTES)
    try:
        return delivery.body.decode()
    except UnicodeDecodeError:
        message = "a body that is not JSON must be text in UTF-8"
        raise InvalidRequest([Problem("", "INVALID_VALUE", message)]) from None
