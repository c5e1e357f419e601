"""Figures beside their floors and targets, as a table and as JSON; and whether two runs agree."""

from __future__ import annotations

import json
import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

REFERENCE_HOP = 1531.0
"""Calls a second of the bare hop at 20 connections on the machine that the targets were set for."""
AGREEMENT = 0.2


def quantile(values: Sequence[float], share: float) -> float:
    """The smallest value that at least this share of them do not exceed."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


@dataclass(frozen=True, slots=True)
class Target:
    """unit: `ms` and `/s` depend on how fast the machine is, everything else does not."""

    value: float
    bound: float
    unit: str
    at_least: bool = False
    what: str = ""

    @property
    def met(self) -> bool:
        return self.value >= self.bound if self.at_least else self.value <= self.bound

    def at_reference_speed(self, speed: float) -> Target:
        """What it would be if everything took as much longer or shorter as the bare hop does."""
        scale = {"ms": speed, "s": speed, "/s": 1 / speed}.get(self.unit, 1.0)
        return Target(self.value * scale, self.bound, self.unit, self.at_least, self.what)

    def __str__(self) -> str:
        sign = "≥" if self.at_least else "≤"
        return f"{self.what} {sign} {self.bound:g} {self.unit}".strip()


@dataclass(frozen=True, slots=True)
class Figure:
    """A line of the table.

    key: the same in every run, for comparing. ms: p50, p95, p99. cpu_ms: of each process for one execution.
    ratio: to the floor; the greater of two runs over the smaller tells how well they agree.
    """

    key: str
    name: str
    measured: str
    ms: Mapping[str, float] = field(default_factory=dict)
    floor: str = ""
    ratio: float | None = None
    targets: Sequence[Target] = ()
    cpu_ms: Mapping[str, float] = field(default_factory=dict)
    remark: str = ""

    @property
    def database(self) -> str:
        return self.key.partition(".")[0]


@dataclass(frozen=True, slots=True)
class Report:
    """speed: of this machine, 1 when its bare hop is as fast as the reference's."""

    machine: Mapping[str, str]
    figures: Sequence[Figure]
    memory: Sequence[Mapping[str, Any]]
    speed: float
    remarks: Sequence[str] = ()

    def verdict(self, figure: Figure) -> str:
        if not figure.targets:
            return ""
        if all(target.met for target in figure.targets):
            return "met"
        if all(target.at_reference_speed(self.speed).met for target in figure.targets):
            return "missed here, met at reference speed"
        return "MISSED"

    def document(self) -> dict[str, Any]:
        figures = [{**asdict(figure), "verdict": self.verdict(figure)} for figure in self.figures]
        return {**asdict(self), "figures": figures}


def markdown(report: Report) -> str:
    parts = ["# Benchmarks\n", *machine_lines(report)]
    for database in dict.fromkeys(figure.database for figure in report.figures):
        mine = [figure for figure in report.figures if figure.database == database]
        parts += [f"\n## {database}\n", rows_of(report, mine), "\nProcessor time, ms for each execution:\n"]
        parts += [cpu_rows(mine)]
    if report.memory:
        parts += ["\n## Memory\n", memory_rows(report.memory)]
    if report.remarks:
        parts += ["", *(f"- {remark}" for remark in report.remarks)]
    return "\n".join(parts) + "\n"


def machine_lines(report: Report) -> list[str]:
    told = ", ".join(f"{name} {value}" for name, value in report.machine.items())
    speed = f"The bare hop is {report.speed:.2f} × as fast as on the machine that the targets were set for"
    meaning = "the last column tells times and rates as they would be there."
    return [f"{told}.", f"{speed} ({REFERENCE_HOP:,.0f}/s); {meaning}"]


def rows_of(report: Report, figures: Iterable[Figure]) -> str:
    rows = [
        [
            figure.name,
            figure.measured,
            " / ".join(f"{value:.1f}" for value in figure.ms.values()),
            figure.floor,
            "" if figure.ratio is None else f"{figure.ratio:.2f} ×",
            ", ".join(map(str, figure.targets)),
            report.verdict(figure),
            ", ".join(scaled(target, report.speed) for target in figure.targets),
        ]
        for figure in figures
    ]
    head = ["workload", "measured", "p50 / p95 / p99 ms", "floor", "ratio", "target", "", "at reference"]
    remarks = [f"\n{figure.name}: {figure.remark}" for figure in figures if figure.remark]
    return grid(head, rows) + "\n".join(["", *remarks])


def scaled(target: Target, speed: float) -> str:
    return f"{target.at_reference_speed(speed).value:.3g} {target.unit}".strip()


def cpu_rows(figures: Iterable[Figure]) -> str:
    with_cpu = [figure for figure in figures if figure.cpu_ms]
    names = list(dict.fromkeys(name for figure in with_cpu for name in figure.cpu_ms))
    rows = [
        [figure.name, *(f"{figure.cpu_ms[name]:.2f}" if name in figure.cpu_ms else "" for name in names)]
        for figure in with_cpu
    ]
    return grid(["workload", *names], rows)


def memory_rows(memory: Sequence[Mapping[str, Any]]) -> str:
    head = list(memory[0])
    return grid(head, [[str(row[name]) for name in head] for row in memory])


def grid(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table that reads well as text too."""
    widths = [max(len(cell) for cell in column) for column in zip(head, *rows, strict=True)]
    lines = [head, ["-" * width for width in widths], *rows]
    return "\n".join(
        f"| {' | '.join(cell.ljust(width) for cell, width in zip(line, widths, strict=True))} |"
        for line in lines
    )


def store(report: Report, folder: Path, name: str) -> Path:
    """Writes NAME.json and NAME.md; the path of the first."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.json"
    path.write_text(json.dumps(report.document(), indent=1, ensure_ascii=False) + "\n")
    path.with_suffix(".md").write_text(markdown(report))
    return path


def compared(first: Mapping[str, Any], second: Mapping[str, Any]) -> tuple[str, bool]:
    """A table of the ratios of two stored runs, and whether all agree within 20 %."""
    ratios = [{figure["key"]: figure["ratio"] for figure in run["figures"]} for run in (first, second)]
    both = [key for key in ratios[0] if ratios[0][key] and ratios[1].get(key)]
    apart = {key: max(r[key] for r in ratios) / min(r[key] for r in ratios) - 1 for key in both}
    verdicts = {key: "" if each <= AGREEMENT else "APART" for key, each in apart.items()}
    rows = [[key, *(f"{run[key]:.2f}" for run in ratios), f"{apart[key]:.0%}", verdicts[key]] for key in both]
    return grid(["ratio", "first", "second", "difference", ""], rows), not any(verdicts.values())


def middle(values: Iterable[float]) -> float:
    return statistics.median(values)
