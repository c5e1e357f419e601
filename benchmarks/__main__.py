"""Benchmarks, one after the other; the exit code tells whether a bound that must hold was broken.

python -m benchmarks            those of every release: about ten minutes on two cores
python -m benchmarks NAME …     only these; some take arguments of their own as `python -m benchmarks.NAME`
"""

from __future__ import annotations

import argparse
import importlib
import inspect
import sys

EVERY_RELEASE = "expressions heartbeats validation persistence workloads waiting watchers estimates".split()
LONG = "backlog stats retention attack console overhead".split()
"""A million executions, a hundred thousand in the queue, an installation under attack, a real browser, four
installations beside one another."""


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description=__doc__,
        epilog="\n".join(f"  {name:<12} {summary(name)}" for name in EVERY_RELEASE + LONG),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("names", nargs="*", metavar="NAME")
    names = parser.parse_args(arguments).names or EVERY_RELEASE
    if unknown := set(names) - {*EVERY_RELEASE, *LONG}:
        parser.error(f"there is no benchmark {', '.join(sorted(unknown))}")
    broken = 0
    for name in names:
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
