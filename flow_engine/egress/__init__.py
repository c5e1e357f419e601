"""Where workflows may connect to: every address is checked, and the checked one is connected to."""

from __future__ import annotations

from flow_engine.egress.guard import EgressGuard
from flow_engine.egress.rules import CLOSED, EgressRules

__all__ = ["CLOSED", "EgressGuard", "EgressRules"]
