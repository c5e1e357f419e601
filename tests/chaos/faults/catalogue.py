"""All faults, in the order of the table."""

from __future__ import annotations

from tests.chaos.fault import Fault
from tests.chaos.faults import delivery, disk, network, postgres, processes, redis, reports, streams

FAULTS: tuple[Fault, ...] = (
    *processes.FAULTS,
    *redis.FAULTS,
    *postgres.FAULTS,
    *network.FAULTS,
    *delivery.FAULTS,
    *reports.FAULTS,
    *streams.FAULTS,
    *disk.FAULTS,
)

ALWAYS = {("worker-killed", "sqlite"), ("executor-killed", "postgresql")}
"""Never left out of the short form."""
