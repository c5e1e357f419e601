"""What a step with secrets is lent."""

from __future__ import annotations

import ssl
from typing import Any

import pytest

from flow_engine.egress.guard import EgressGuard
from flow_engine.interpreter.events import Failure
from flow_engine.nodes.contract import Completed, Failed, NodeError, NodeServices, Waiting
from flow_engine.nodes.services import SharedServices
from flow_engine.secrets import Secret
from flow_engine.secrets.use import BoundServices, SecretsInUse, secrets_for

SECRETS = {"TOKEN": Secret("s3cr3t-value", ("a.example",))}


def test_everything_that_a_process_lends_is_lent_on() -> None:
    """Whatever is added to it later must say what it means for secrets."""
    lent = {name for name in vars(NodeServices) if not name.startswith("_")}
    assert lent <= {name for name in vars(BoundServices) if not name.startswith("_")}


@pytest.mark.parametrize("kind", ["http", "http_with"])
@pytest.mark.parametrize(
    "changes",
    [
        {"headers": {"X": "s3cr3t-value"}},
        {"headers": {"Authorization": "Basic dXNlcjpzM2NyM3QtdmFsdWU="}},
        {"params": {"key": "s3cr3t-value"}},
        {"content": b"before s3cr3t-value behind"},
        {"json": {"deep": ["s3cr3t-value"]}},
        {"data": {"form": "s3cr3t-value"}},
        {"files": {"file": b"s3cr3t-value"}},
        {"headers": {"Cookie": "session=s3cr3t-value"}},
    ],
)
async def test_no_request_takes_a_secret_to_another_host(kind: str, changes: dict[str, Any]) -> None:
    bound = SecretsInUse(SECRETS).services(SharedServices())
    client = bound.http if kind == "http" else bound.http_with(ssl.create_default_context())
    with pytest.raises(NodeError, match=r"TOKEN is not bound to b\.example") as refused:
        await client.request("POST", "http://b.example/", **changes)
    assert refused.value.failure.code == "SECRET_NOT_FOR_HOST"
    assert "s3cr3t" not in str(refused.value.failure)
    await client.aclose()


async def test_what_holds_no_secret_goes_anywhere_and_with_one_to_its_host() -> None:
    """As far as the guard, which lets nobody through here."""

    async def resolve(host: str, port: int) -> list[str]:
        return ["10.0.0.1"]

    bound = SecretsInUse(SECRETS).services(SharedServices(EgressGuard(resolve=resolve)))
    for url, body in (("http://b.example/", "nothing"), ("http://a.example/", "s3cr3t-value")):
        with pytest.raises(NodeError) as refused:
            await bound.http.post(url, content=body)
        assert refused.value.failure.code == "EGRESS_DENIED"


async def test_nodes_with_connections_of_their_own_go_to_bound_hosts_only() -> None:
    bound = SecretsInUse(SECRETS).services(SharedServices())
    with pytest.raises(NodeError, match=r"TOKEN is not bound to db\.example"):
        await bound.address_of("db.example", 5432)


def test_outcomes_of_every_kind_lose_their_secrets() -> None:
    used = SecretsInUse(SECRETS)
    assert used.outcome(Completed({"a": ["s3cr3t-value"]}, "then")) == Completed({"a": ["***"]}, "then")
    failure = Failure("X", "no s3cr3t-value here", True, details={"body": "s3cr3t-value"})
    told = used.outcome(Failed(failure, 7))
    assert told == Failed(Failure("X", "no *** here", True, details={"body": "***"}), 7)
    assert used.outcome(Waiting(5, {"title": "s3cr3t-value"})) == Waiting(5, {"title": "***"})


async def test_a_secret_that_nobody_keeps_is_a_failure() -> None:
    class Nobody:
        async def secrets(self, names: Any) -> dict[str, Secret]:
            return {}

    found = await secrets_for(Nobody(), {"B", "A"})
    assert isinstance(found, Failure)
    assert (found.code, found.retryable) == ("SECRET_NOT_FOUND", False)
    assert "A" in found.message
