"""Opens the loopback, where the servers of tests are, to the nodes of one stack. Nothing is open unasked."""

from __future__ import annotations

from flow_engine.egress.guard import EgressGuard
from flow_engine.egress.rules import opened

LOOPBACK = {"FLOW_EGRESS_ALLOW": "127.0.0.1/32 ::1/128"}
"""For the environment of a stack whose workflows call servers of a test."""

LOOPBACK_RULES = opened(LOOPBACK["FLOW_EGRESS_ALLOW"])
LOOPBACK_GUARD = EgressGuard(LOOPBACK_RULES)


def open_to(*entries: str) -> EgressGuard:
    return EgressGuard(opened(" ".join(entries)))
