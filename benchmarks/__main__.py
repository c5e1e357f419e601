"""Every benchmark in turn; the exit code tells whether a bound that must hold was broken."""

from __future__ import annotations

import sys

from benchmarks import (
    backlog,
    console,
    estimates,
    expressions,
    heartbeats,
    persistence,
    retention,
    stats,
    validation,
    waiting,
    watchers,
    workloads,
)


def main() -> int:
    broken = 0
    for name, run in (
        ("expressions", expressions.main),
        ("heartbeats", heartbeats.main),
        ("validation", validation.main),
        ("persistence", persistence.main),
        ("backlog", lambda: backlog.main([])),
        ("workloads", lambda: workloads.main([])),
        ("waiting", lambda: waiting.main([])),
        ("watchers", lambda: watchers.main([])),
        ("estimates", lambda: estimates.main([])),
        ("stats", lambda: stats.main([])),
        ("retention", lambda: retention.main([])),
        ("console", console.main),
    ):
        print(f"\n=== {name}", flush=True)
        broken |= int(run() or 0)
    return broken


if __name__ == "__main__":
    sys.exit(main())
