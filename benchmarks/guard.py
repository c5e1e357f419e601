"""Whether executions have become dearer: their processor time as a ratio to that of a bare HTTP → gRPC call.

Measured in turn with the bare call on PostgreSQL, and held against the ratios recorded in guard.json: times
differ from machine to machine, these ratios hardly. Exit code 1 beyond the bound. Less than a minute.

python -m benchmarks.guard             compare
python -m benchmarks.guard --record    put down what is measured now: after a change that is worth its price,
                                       or once executions have become cheaper
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from benchmarks import loads
from benchmarks.driver import Driver
from benchmarks.figures import grid, middle
from benchmarks.loads import RUN
from benchmarks.shapes import chain, montage_500, start_body
from benchmarks.stage import Stage, stage

RECORD = Path(__file__).with_name("guard.json")
BOUND = 1.6
"""Times the recorded ratio: more than machines and moments differ by, less than a mistake costs."""
ROUNDS = 7
CALLERS = 8
COMPLETED = b'"status":"completed"'


def measure(on: Stage) -> dict[str, float]:
    """Of each workload: processor time of gateway, executor and worker for one execution, in bare calls."""
    workloads = workloads_on(on)
    for run, _ in workloads.values():
        run()
    found: dict[str, list[float]] = {name: [] for name in workloads}
    for _ in range(ROUNDS):
        for name, (run, executions) in workloads.items():
            call = a_call(on)
            before = engine_cpu(on)
            run()
            found[name].append((engine_cpu(on) - before) / executions / call)
    return {name: round(middle(ratios), 2) for name, ratios in found.items()}


def workloads_on(on: Stage) -> dict[str, tuple[Callable[[], object], int]]:
    """What runs, and how many executions that is."""
    url, driver, numbers = on.stack.base_url, on.driver, iter(range(100))
    bodies = {
        "immediate": (start_body(chain(10), "immediate"), 120),
        "graph": (start_body(montage_500(), "immediate"), 4),
    }

    def immediate(name: str) -> Callable[[], object]:
        body, count = bodies[name]
        return lambda: driver(loads.http, url, RUN, body, COMPLETED, CALLERS, count)

    def queued() -> object:
        workflow = {**chain(10), "id": f"guard-{next(numbers)}"}
        return driver(loads.queued, url, workflow, CALLERS, 80)

    return {
        "immediate chain of 10": (immediate("immediate"), bodies["immediate"][1]),
        "queued chain of 10": (queued, 80),
        "montage-500": (immediate("graph"), bodies["graph"][1]),
    }


def a_call(on: Stage, count: int = 250) -> float:
    """Seconds of processor time that the two processes of the bare hop need for one call."""
    body = start_body(chain(10), "immediate")
    before = on.hop_cpu()
    on.driver(loads.http, on.hop_url, "/run", body, COMPLETED, CALLERS, count)
    return (on.hop_cpu() - before) / count


def engine_cpu(on: Stage) -> float:
    spent = on.cpu()
    return sum(spent[name] for name in on.services)


def judged(found: Mapping[str, float], recorded: Mapping[str, float]) -> tuple[str, list[str]]:
    """A table, and one sentence for each workload that is beyond the bound."""
    rows = [
        [name, f"{ratio:.1f}", f"{recorded[name]:.1f}", f"{ratio / recorded[name]:.2f} ×"]
        for name, ratio in found.items()
    ]
    beyond = [
        f"{name}: an execution takes the processor time of {ratio:.1f} bare calls, recorded are "
        f"{recorded[name]:.1f}, and {BOUND} times that is the bound"
        for name, ratio in found.items()
        if ratio > BOUND * recorded[name]
    ]
    return grid(["processor time of an execution, in bare calls", "now", "recorded", ""], rows), beyond


def main(arguments: Sequence[str] = ()) -> int:
    parsing = argparse.ArgumentParser(
        prog="python -m benchmarks.guard",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parsing.add_argument("--record", action="store_true", help="write guard.json instead of comparing")
    options = parsing.parse_args(arguments)
    driver = Driver().start()
    try:
        with stage("postgresql", driver) as on:
            found = measure(on)
    finally:
        driver.stop()
    if options.record:
        RECORD.write_text(json.dumps(found, indent=1) + "\n")
        print(f"recorded in {RECORD.name}: {json.dumps(found)}")
        return 0
    table, beyond = judged(found, json.loads(RECORD.read_text()))
    print(table)
    for sentence in beyond:
        print(f"FAILED {sentence}")
    if beyond:
        print(
            "Profile the process that grew: `make bench BENCH_ARGS='--only immediate queue'` tells which. "
            "If it is worth it, `make bench-guard GUARD_ARGS=--record` and commit guard.json with the reason."
        )
    return int(bool(beyond))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
