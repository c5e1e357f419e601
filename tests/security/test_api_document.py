"""The served OpenAPI document is what the gateway does: no 5xx, no answer that it does not announce."""

from __future__ import annotations

from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from services.gateway.bootstrap import api
from tests.security.conftest import ROOT, Installation

pytestmark = pytest.mark.fuzz

EXAMPLES = 5
"""Of each operation: bounded, so that all of them take half a minute."""
ENDLESS = r"stream|ws$|/poll$|/export$"
"""What follows something until the client has had enough, or waits for it."""


# What is served is this document: test_every_route compares them.
document: Any = schemathesis.openapi.from_dict(api())
document = document.exclude(path_regex=ENDLESS)


@document.parametrize()  # type: ignore[untyped-decorator]
@settings(
    max_examples=EXAMPLES, deadline=None, derandomize=True, database=None,
    suppress_health_check=list(HealthCheck),
)  # fmt: skip
def test_every_answer_is_announced(case: Any, installation: Installation) -> None:
    case.call_and_validate(
        base_url=installation.stack.base_url,
        headers={"Authorization": f"Bearer {ROOT}"},
        timeout=20,
        checks=[
            not_a_server_error,
            status_code_conformance,
            content_type_conformance,
            response_schema_conformance,
        ],
    )
