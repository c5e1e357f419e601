"""The whole table: every workload beside its floor and its target, at most ten minutes on two cores.

Starts the real services with fsync on and their default settings, on PostgreSQL and on SQLite, beside bare
processes that do nothing but pass on: those are the floors. A client process of its own calls them in short
slices, a workload and its floor in turn, so that both meet the same machine, and it comes to most workloads
twice, minutes apart, since a machine has its slow minutes. Read the ratios: they are medians of rounds. How
many rounds are made, and how large W7 and the last one are, depends on how fast the machine is; the table
says it.

Prints the table and writes it to reports/ as JSON and Markdown. Ctrl-C prints what there is so far.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks import machine, workloads
from benchmarks.driver import Driver, Failed
from benchmarks.figures import REFERENCE_HOP, Figure, Report, compared, markdown, store
from benchmarks.finished import long_history
from benchmarks.rounds import Found
from benchmarks.shapes import ROOT
from benchmarks.stage import Stage, stage

REPORTS = ROOT / "reports"
DATABASES = ("postgresql", "sqlite")
SECTIONS = {
    "immediate": "floors; W1 a chain of 10, one caller; W2 32 callers, REST and gRPC; W4 40 × fib(10); "
    "W5 fan-out of 100",
    "queue": "W3 2,000 queued, one worker process, beside bare taskiq",
    "heavy": "W4 10 × fib(33) on the worker",
    "people": "W7 executions that wait for people, then all answered",
    "watchers": "W8 1,000 watchers on 100 executions",
    "finished": "W9 a long history, against a short one",
    "graphs": "W6 montage-500 and a graph of 5,000 tasks",
    "memory": "memory of each service over many executions, and its trend",
}
TWICE = ("immediate", "queue", "watchers")
VISITS = (("immediate", "queue", "heavy", "people", "watchers", "finished"), ("graphs",), TWICE, ("memory",))
"""What is measured one after the other, each on services of its own; graphs and memory on such that have done
nothing else."""
ON_SQLITE = ("immediate", "queue", "graphs")
"""The other sections do not depend on the database, or are not for SQLite."""
MOST_PEOPLE, MOST_EXECUTIONS, MOST_FINISHED = 10_000, 100_000, 1_000_000
USUAL_FINISHED = 200_000


SECONDS = {"immediate": 42.0, "graphs": 25.0, "queue": 26.0, "finished": 50.0}
"""That rounds go on for at most, at each visit. One round differs from the next by a fifth: it takes some
twenty for medians that two runs agree on."""
ALL_SECONDS, LEAST_SECONDS = 590.0, 30.0
"""Of the whole table, and that must be left for another section to begin."""


@dataclass(frozen=True, slots=True)
class Plan:
    """How large workloads are, and for how long there are rounds."""

    full: bool
    began: float = field(default_factory=time.monotonic)

    @property
    def left(self) -> float:
        """Seconds."""
        return float("inf") if self.full else self.began + ALL_SECONDS - time.monotonic()

    def seconds(self, section: str) -> float:
        return min(SECONDS[section], self.left / 2)

    @property
    def finished(self) -> int:
        return MOST_FINISHED if self.full else USUAL_FINISHED

    def people(self, queue_rate: float) -> int:
        """As many as a minute is enough for: to start, to wait, to be answered and to end."""
        return MOST_PEOPLE if self.full else bounded(queue_rate * 20, 1_000, MOST_PEOPLE)

    def executions(self, queue_rate: float) -> int:
        seconds = min(40.0, self.left - LEAST_SECONDS / 2)
        return MOST_EXECUTIONS if self.full else bounded(queue_rate * seconds, 2_000, MOST_EXECUTIONS)


def visits(databases: Sequence[str], sections: Sequence[str]) -> list[tuple[str, list[str]]]:
    """What is measured on services that are started for it, in order."""
    wanted = {
        database: [name for name in sections if database == "postgresql" or name in ON_SQLITE]
        for database in databases
    }
    return [
        (database, together)
        for visit in VISITS
        for database, names in wanted.items()
        if (together := [name for name in names if name in visit])
    ]


def bounded(value: float, least: int, most: int) -> int:
    return max(least, min(most, int(value) // 1000 * 1000))


@dataclass(slots=True)
class Bench:
    """What was measured so far."""

    plan: Plan
    say: Callable[[str], None]
    figures: dict[str, Figure] = field(default_factory=dict)
    """By key."""
    found: dict[tuple[str, str], Found] = field(default_factory=dict)
    """By database and section: what is measured twice."""
    seen: list[workloads.Seen] = field(default_factory=list)
    memory: list[dict[str, Any]] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)
    hop_rates: dict[str, float] = field(default_factory=dict)
    queue_rate: float = 200.0  # until it is measured
    failed: bool = False

    def run(self, databases: Sequence[str], sections: Sequence[str]) -> None:
        driver = Driver().start()
        try:
            for database, wanted in visits(databases, sections):
                if self.plan.left < LEAST_SECONDS:
                    self.remarks.append(f"No time was left for {', '.join(wanted)} on {database}.")
                    continue
                self.say(f"{database}: services start")
                with stage(database, driver) as on:
                    if "immediate" not in wanted:
                        self.hop_rate(on)
                    for section in wanted:
                        self.attempt(on, section)
        finally:
            driver.stop()

    def attempt(self, on: Stage, section: str) -> None:
        """A section that fails is told, and the others are measured."""
        if self.plan.left < LEAST_SECONDS:
            self.remarks.append(f"No time was left for {section} on {on.database}.")
            return
        try:
            self.measure(on, section)
        except Exception as error:
            self.failed = True
            told = str(error) if isinstance(error, Failed) else traceback.format_exc()
            self.say(f"{on.database} {section} FAILED:\n{told}")
            self.remarks.append(f"FAILED: {section} on {on.database}: {told.strip().splitlines()[-1]}")

    def measure(self, on: Stage, section: str) -> None:
        began = time.monotonic()

        def say(text: str) -> None:
            self.say(f"{on.database} {section}: {text}")

        def seconds() -> float:
            return self.plan.seconds(section)

        before = self.found.setdefault((on.database, section), {})
        match section:
            case "immediate":
                figures = workloads.interactive(on, seconds(), say, before)
                self.hop_rates[on.database] = before["hop"].rate
            case "queue":
                figures = workloads.queue(on, seconds(), say, before)
                if on.database == "postgresql":
                    self.queue_rate = before["completed"].rate
            case "heavy":
                figures = workloads.heavy_sums(on, say)
            case "graphs":
                figures = workloads.graphs(on, seconds(), say)
            case "people":
                figures = workloads.people(on, self.plan.people(self.queue_rate), say)
            case "watchers":
                figures = workloads.watched(on, say, self.seen)
            case "finished":
                figures = long_history(on, self.plan.finished, seconds(), say)
            case _:
                figures, rows = workloads.memory(on, self.plan.executions(self.queue_rate), say)
                self.memory += rows
        self.figures |= {figure.key: figure for figure in figures}
        say(f"done in {time.monotonic() - began:.0f} s")

    def hop_rate(self, on: Stage) -> float:
        if on.database not in self.hop_rates:
            self.hop_rates[on.database] = workloads.hop_rate(on)
        return self.hop_rates[on.database]

    def report(self, described: dict[str, str]) -> Report:
        speeds = [rate / REFERENCE_HOP for rate in self.hop_rates.values()] or [1.0]
        return Report(
            described, [*self.figures.values()], self.memory, sum(speeds) / len(speeds), self.remarks
        )


def main(arguments: Sequence[str] = ()) -> int:
    options = parser().parse_args(arguments)
    if options.compare:
        first, second = (json.loads(Path(path).read_text()) for path in options.compare)
        table, agree = compared(first, second)
        print(f"{table}\n\n{'all ratios agree' if agree else 'NOT all ratios agree'} within 20 %")
        return 0 if agree else 1
    began = time.monotonic()
    described = machine.description()

    def say(text: str) -> None:
        print(f"[{time.monotonic() - began:5.0f} s] {text}", file=sys.stderr, flush=True)

    bench = Bench(Plan(options.full), say)
    sections = options.only or list(SECTIONS)
    if not options.full and {"people", "finished", "memory"} & {*sections}:
        bench.remarks.append(
            f"W9 is of {USUAL_FINISHED:,} finished executions, W7 and memory of as many as the time allows; "
            f"--full takes {MOST_FINISHED:,}, {MOST_PEOPLE:,} and {MOST_EXECUTIONS:,}."
        )
    stopped = False
    try:
        bench.run(options.database or DATABASES, sections)
    except KeyboardInterrupt:
        stopped = True
        bench.remarks.append("Stopped before the end: only what was measured until then.")
    bench.remarks.append(
        f"Measured in {time.monotonic() - began:.0f} s, {datetime.now(UTC):%Y-%m-%d %H:%M} UTC."
    )
    report = bench.report(described)
    print(markdown(report))
    print(f"stored: {store(report, REPORTS, f'bench-{datetime.now(UTC):%Y%m%d-%H%M%S}')}")
    return 130 if stopped else int(bench.failed)


def parser() -> argparse.ArgumentParser:
    parsing = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description=__doc__,
        epilog="sections:\n"
        + "\n".join(f"  {name:<10} {what}" for name, what in SECTIONS.items())
        + f"\n\nOn SQLite: {', '.join(ON_SQLITE)}. docs/performance.md tells how to read the table.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parsing.add_argument(
        "--full", action="store_true", help="a million finished executions and so on: about half an hour"
    )
    parsing.add_argument("--only", nargs="+", choices=SECTIONS, metavar="SECTION", help="only these")
    parsing.add_argument("--database", nargs="+", choices=DATABASES, help="both by default")
    parsing.add_argument(
        "--compare",
        nargs=2,
        metavar="FILE",
        help="two stored tables (JSON), instead of measuring: whether every ratio agrees within 20 %%",
    )
    return parsing


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
