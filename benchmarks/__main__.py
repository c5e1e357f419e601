"""Benchmarks. Without a name the whole table; a name picks another one, or several.

python -m benchmarks [--full …]   every workload beside its floor and its target
python -m benchmarks NAME …       these; some take arguments of their own as `python -m benchmarks.NAME`
"""

from __future__ import annotations

import importlib
import inspect
import sys
from collections.abc import Sequence

from benchmarks import table

QUICK = "expressions heartbeats validation persistence waiting watchers estimates".split()
LONG = "backlog stats retention attack console overhead".split()
"""A million executions, a hundred thousand in the queue, an installation under attack, a real browser, four
installations beside one another."""
OTHERS = (*QUICK, *LONG)


def main(arguments: Sequence[str]) -> int:
    """The exit code tells whether a bound that must hold was broken."""
    if "--help" in arguments or "-h" in arguments:
        print(__doc__)
        print("\n".join(f"  {name:<12} {summary(name)}" for name in OTHERS), end="\n\n", flush=True)
    if not arguments or arguments[0].startswith("-"):
        return table.main(arguments)
    if unknown := set(arguments) - set(OTHERS):
        print(f"there is no benchmark {', '.join(sorted(unknown))}: see --help", file=sys.stderr)
        return 2
    broken = 0
    for name in arguments:
        print(f"\n=== {name}", flush=True)
        broken |= run(name)
    return broken


def summary(name: str) -> str:
    """The first line of a benchmark's description."""
    return (inspect.getdoc(importlib.import_module(f"benchmarks.{name}")) or "").partition("\n")[0]


def run(name: str) -> int:
    entry = importlib.import_module(f"benchmarks.{name}").main
    return int((entry([]) if inspect.signature(entry).parameters else entry()) or 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
