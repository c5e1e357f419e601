"""What a workflow may answer a caller with."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from flow_engine.nodes.contract import Completed
from flow_engine.nodes.webhook_respond import WebhookRespond, WebhookRespondConfig
from tests.unit.nodes.contexts import context


async def test_the_answer_is_the_output() -> None:
    config = WebhookRespondConfig(status=201, headers={"X-Order": "7"}, body={"n": 2**53 + 1})
    outcome = await WebhookRespond().run(context(), config)
    assert outcome == Completed({"status": 201, "headers": {"X-Order": "7"}, "body": {"n": 2**53 + 1}})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("X-A", "a\r\nSet-Cookie: b=c"),
        ("X-A", "a\nb"),
        ("X-A", "a\x00"),
        ("X-A", "ü"),
        ("X-A\r\nX-B", "a"),
        ("X A", "a"),
        ("", "a"),
        ("Set-Cookie", "session=1"),
        ("transfer-encoding", "chunked"),
        ("Content-Length", "5"),
        ("CONTENT-SECURITY-POLICY", "default-src *"),
    ],
)
def test_headers_that_break_out_are_refused(name: str, value: str) -> None:
    with pytest.raises(ValidationError):
        WebhookRespondConfig(headers={name: value})


@pytest.mark.parametrize("fields", [{"status": 99}, {"status": 600}, {"status": 101}, {"cookies": {}}])
def test_other_answers_are_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        WebhookRespondConfig(**fields)
