"""All faults, in the order of the table."""

from __future__ import annotations

from tests.chaos.fault import Fault
from tests.chaos.faults import processes

FAULTS: tuple[Fault, ...] = (*processes.FAULTS,)

ALWAYS = {("worker-killed", "sqlite"), ("executor-killed", "postgresql")}
"""Never left out of the short form."""
