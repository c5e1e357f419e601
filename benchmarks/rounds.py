"""Rounds of short slices: a workload and its floor take turns, so that both meet the same machine."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from benchmarks.figures import middle, quantile
from benchmarks.loads import Calls
from benchmarks.machine import difference

CpuClock = Callable[[], dict[str, float]]
"""Seconds of processor time of each process so far."""


@dataclass(slots=True)
class Samples:
    """What one workload gave, round after round."""

    calls: list[Calls] = field(default_factory=list)
    cpu: list[dict[str, float]] = field(default_factory=list)

    @property
    def rates(self) -> list[float]:
        return [calls.rate for calls in self.calls]

    @property
    def rate(self) -> float:
        """A second; median of the rounds."""
        return middle(self.rates)

    @property
    def halves(self) -> list[float]:
        """The median of each round, in ms."""
        return [middle(calls.ms) for calls in self.calls]

    @property
    def p50(self) -> float:
        return middle(self.halves)

    def percentiles_of_rounds(self, share: float) -> list[float]:
        return [quantile(calls.ms, share) for calls in self.calls]

    def percentiles(self) -> dict[str, float]:
        """p50 is the median of the rounds' medians; p95 and p99 are of all calls together."""
        every = [each for calls in self.calls for each in calls.ms]
        return {"p50": self.p50, "p95": quantile(every, 0.95), "p99": quantile(every, 0.99)}

    def cpu_ms(self) -> dict[str, float]:
        """Of each process for one call; median of the rounds."""
        return {
            name: middle(
                1000 * cpu[name] / len(calls.ms) for cpu, calls in zip(self.cpu, self.calls, strict=True)
            )
            for name in self.cpu[0]
        }


Found = dict[str, Samples]
"""By step."""


def ratio(of: Sequence[float], to: Sequence[float]) -> float:
    """Median of the rounds' ratios."""
    return middle(one / other for one, other in zip(of, to, strict=True))


def rounds(
    steps: Mapping[str, Callable[[], Calls]],
    clock: CpuClock,
    *,
    seconds: float,
    least: int,
    most: int,
    say: Callable[[str], None],
    found: Found | None = None,
) -> Found:
    """Every step once a round, in turn forwards and backwards, until the time is over.

    least, most: rounds. A round before the first fills caches and pools and does not count.
    found: of earlier rounds, at another time; these are added.
    """
    found = {} if found is None else found
    for name in steps:
        found.setdefault(name, Samples())
    for step in steps.values():
        step()
    began = time.monotonic()
    for number in range(most):
        took = (time.monotonic() - began) / max(number, 1)
        if number >= least and time.monotonic() - began + took > seconds:
            break
        say(f"round {number + 1}")
        for name in list(steps)[:: 1 if number % 2 == 0 else -1]:
            before = clock()
            found[name].calls.append(steps[name]())
            found[name].cpu.append(difference(clock(), before))
    return found
