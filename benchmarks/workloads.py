"""The workloads of `python -m benchmarks`, each beside its floor.

A workload and its floors take turns in rounds. Each gives lines of the table.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from benchmarks import loads
from benchmarks.figures import Figure, Target, middle, quantile
from benchmarks.loads import RUN, Calls, Queued
from benchmarks.machine import anonymous_bytes, difference
from benchmarks.rounds import Found, Samples, ratio, rounds
from benchmarks.shapes import approvals, chain, fan, fibonacci, montage, montage_500, start_body
from benchmarks.stage import MIB, Stage

COMPLETED = b'"status":"completed"'
MANY = 32
CHAIN = chain(10)
FIB_LIGHT, FIB_HEAVY = (40, 10), (10, 33)
Say = Callable[[str], None]


def definition_bytes(definition: Mapping[str, Any]) -> bytes:
    return json.dumps(definition).encode()


# W1, W2, W4 (light), W5


def interactive(stage: Stage, seconds: float, say: Say, found: Found) -> list[Figure]:
    """Immediate executions; their figures. found: of earlier visits, and gets what this one finds."""
    url, driver = stage.stack.base_url, stage.driver
    workflow = definition_bytes(CHAIN)

    def run(body: bytes, callers: int, count: int) -> Callable[[], Calls]:
        return lambda: driver(loads.http, url, RUN, body, COMPLETED, callers, count)

    def starts(address: str, count: int) -> Callable[[], Calls]:
        return lambda: driver(loads.grpc_starts, address, workflow, MANY, count)

    def commits() -> Calls:
        return driver(loads.commits, stage.bare_url, MANY, 500)

    def pure() -> Calls:
        length, n = FIB_LIGHT
        return Calls(1, [1000 * driver(loads.pure_python, n, length) for _ in range(10)])

    chain_body, fan_body = start_body(CHAIN, "immediate"), start_body(fan(100), "immediate")
    rounds(
        {
            **least_steps(stage),
            "W1": run(chain_body, 1, 80),
            "hop": lambda: hop(stage, MANY, 500),
            "W2 REST": run(chain_body, MANY, 320),
            "gRPC": starts(stage.hop_address, 500),
            "W2 gRPC": starts(stage.stack.grpc_address, 320),
            "commits": commits,
            "pure": pure,
            "W4": run(start_body(fibonacci(*FIB_LIGHT), "immediate"), 1, 20),
            "W5": run(fan_body, 1, 20),
        },
        stage.cpu,
        seconds=seconds,
        least=3,
        most=30,
        say=say,
        found=found,
    )
    return [figure for make in INTERACTIVE for figure in make(stage, found)]


def floor_figures(stage: Stage, found: Mapping[str, Samples]) -> Iterator[Figure]:
    names = {
        "hop, one caller": "bare HTTP → gRPC hop, one caller",
        "hop": f"bare HTTP → gRPC hop, {MANY} callers",
        "gRPC": f"bare gRPC call, {MANY} callers",
        "commit, one connection": "bare commit, one connection",
        "commits": f"bare commits, {MANY} connections" if stage.cluster else "bare commits, one writer",
    }
    for key, name in names.items():
        samples = found[key]
        yield Figure(
            f"{stage.database}.floor.{key}",
            f"floor: {name}",
            f"{samples.rate:,.0f}/s",
            ms=samples.percentiles(),
            cpu_ms={"client": samples.cpu_ms()["client"]} if "commit" not in key else {},
        )


def hop(stage: Stage, callers: int, count: int) -> Calls:
    body = start_body(CHAIN, "immediate")
    return stage.driver(loads.http, stage.hop_url, "/run", body, COMPLETED, callers, count)


def least_steps(stage: Stage) -> dict[str, Callable[[], Calls]]:
    """The floors of one caller."""
    return {
        "hop, one caller": lambda: hop(stage, 1, 100),
        "commit, one connection": lambda: stage.driver(loads.commits, stage.bare_url, 1, 100),
    }


def least_ms(found: Mapping[str, Samples]) -> list[float]:
    """What a durable call cannot be faster than: a hop and a commit; for each round."""
    halves = zip(found["hop, one caller"].halves, found["commit, one connection"].halves, strict=True)
    return [hop + commit for hop, commit in halves]


def one_caller(stage: Stage, found: Mapping[str, Samples]) -> Iterator[Figure]:
    samples, least = found["W1"], least_ms(found)
    ms = samples.percentiles()
    yield Figure(
        f"{stage.database}.W1",
        "W1 chain of 10, one caller, REST",
        f"p50 {ms['p50']:.1f} ms",
        ms=ms,
        floor=f"hop + commit {middle(least):.1f} ms",
        ratio=ratio(samples.halves, least),
        targets=[Target(ms["p50"], 6, "ms", what="p50"), Target(ms["p99"], 20, "ms", what="p99")],
        cpu_ms=samples.cpu_ms(),
    )


def many_callers(stage: Stage, found: Mapping[str, Samples]) -> Iterator[Figure]:
    rest, direct = found["W2 REST"], found["W2 gRPC"]
    to_hop = ratio(rest.rates, found["hop"].rates)
    yield Figure(
        f"{stage.database}.W2.rest",
        f"W2 chain of 10, {MANY} callers, REST",
        f"{rest.rate:,.0f}/s",
        ms=rest.percentiles(),
        floor=f"hop {found['hop'].rate:,.0f}/s",
        ratio=to_hop,
        targets=[Target(rest.rate, 600, "/s", at_least=True), Target(to_hop, 0.4, "× hop", at_least=True)],
        cpu_ms=rest.cpu_ms(),
    )
    yield Figure(
        f"{stage.database}.W2.grpc",
        f"W2 chain of 10, {MANY} callers, gRPC",
        f"{direct.rate:,.0f}/s",
        ms=direct.percentiles(),
        floor=f"bare gRPC {found['gRPC'].rate:,.0f}/s",
        ratio=ratio(direct.rates, found["gRPC"].rates),
        targets=[Target(direct.rate, 800, "/s", at_least=True)],
        cpu_ms=direct.cpu_ms(),
    )


def light_sums(stage: Stage, found: Mapping[str, Samples]) -> Iterator[Figure]:
    samples, pure, least = found["W4"], found["pure"], least_ms(found)
    over = [took - alone for took, alone in zip(samples.halves, pure.halves, strict=True)]
    yield Figure(
        f"{stage.database}.W4.light",
        "W4 chain of {} × fib({}), REST".format(*FIB_LIGHT),
        f"{middle(over):.1f} ms over pure Python's {pure.p50:.2f} ms",
        ms=samples.percentiles(),
        floor=f"hop + commit {middle(least):.1f} ms",
        ratio=ratio(over, least),
        targets=[Target(middle(over), 12, "ms")],
        cpu_ms=samples.cpu_ms(),
    )


def fan_out(stage: Stage, found: Mapping[str, Samples]) -> Iterator[Figure]:
    samples, least = found["W5"], least_ms(found)
    yield Figure(
        f"{stage.database}.W5",
        "W5 fan-out of 100 and join, REST",
        f"p50 {samples.p50:.1f} ms",
        ms=samples.percentiles(),
        floor=f"hop + commit {middle(least):.1f} ms",
        ratio=ratio(samples.halves, least),
        targets=[Target(samples.p50, 12, "ms")],
        cpu_ms=samples.cpu_ms(),
    )


INTERACTIVE = (floor_figures, one_caller, many_callers, light_sums, fan_out)


def hop_rate(stage: Stage) -> float:
    """Calls a second of the bare hop."""
    return middle(hop(stage, MANY, 500).rate for _ in range(3))


def hop_and_commit(stage: Stage) -> float:
    """Median ms of the two together, one caller."""
    return sum(middle(step().ms) for step in least_steps(stage).values())


# W6


def graphs(stage: Stage, seconds: float, say: Say) -> list[Figure]:
    """Large graphs; by themselves, since what they took is counted for a while after they have ended."""

    def run(definition: dict[str, Any], count: int) -> Callable[[], Calls]:
        body = start_body(definition, "immediate")
        return lambda: stage.driver(loads.http, stage.stack.base_url, RUN, body, COMPLETED, 1, count)

    steps = {**least_steps(stage), "500": run(montage_500(), 4), "5000": run(montage(), 1)}
    found = rounds(steps, stage.cpu, seconds=seconds, least=3, most=30, say=say)
    small, large, least = found["500"], found["5000"], least_ms(found)
    nodes = len(montage_500()["nodes"]), len(montage()["nodes"])
    a_node = [
        (took / nodes[1]) / (other / nodes[0]) for took, other in zip(large.halves, small.halves, strict=True)
    ]
    return [
        Figure(
            f"{stage.database}.W6.small",
            f"W6 montage-500 ({nodes[0]} tasks), REST",
            f"p50 {small.p50:.0f} ms, {1000 * small.p50 / nodes[0]:.0f} µs a node",
            ms=small.percentiles(),
            cpu_ms=small.cpu_ms(),
            floor=f"hop + commit {middle(least):.1f} ms",
            ratio=ratio(small.halves, least),
        ),
        Figure(
            f"{stage.database}.W6.large",
            f"W6 generated graph of {nodes[1]:,} tasks, REST",
            f"{large.p50 / 1000:.2f} s, {1000 * large.p50 / nodes[1]:.0f} µs a node",
            ms=large.percentiles(),
            cpu_ms=large.cpu_ms(),
            floor="a node of montage-500",
            ratio=middle(a_node),
            targets=[
                Target(large.p50 / 1000, 1.5, "s"),
                Target(middle(a_node), 1.3, "× a node of montage-500"),
            ],
        ),
    ]


# W3


def queue(stage: Stage, seconds: float, say: Say, found: Found, count: int = 2_000) -> list[Figure]:
    """The queue, with one worker process; its figures. found: of earlier visits, gets what this one finds."""
    driver, runs = stage.driver, iter(range(1000))
    completed = found.setdefault("completed", Samples())
    every: list[Queued] = []

    def bells() -> Calls:
        return driver(loads.messages, stage.valkey.url, MANY, 2 * count)

    def submit() -> Calls:
        workflow = {**CHAIN, "id": f"queued-{next(runs)}"}
        every.append(driver(loads.queued, stage.stack.base_url, workflow, MANY, count))
        return every[-1].submit

    steps = {"bells": bells, "hop": lambda: hop(stage, MANY, count), "W3": submit}
    rounds(steps, stage.cpu, seconds=seconds, least=2, most=9, say=say, found=found)
    # The first was a warm-up.
    completed.calls += [Calls(one.completed_seconds, one.submit.ms) for one in every[1:]]
    submits, to_bells = found["W3"], ratio(completed.rates, found["bells"].rates)
    database = stage.database
    return [
        Figure(
            f"{database}.floor.bells",
            "floor: bare taskiq, kicked and run",
            f"{found['bells'].rate:,.0f}/s",
            ms=found["bells"].percentiles(),
        ),
        Figure(
            f"{database}.W3.submit",
            f"W3 {count:,} queued: submit, {MANY} callers, REST",
            f"{submits.rate:,.0f}/s",
            ms=submits.percentiles(),
            floor=f"hop {found['hop'].rate:,.0f}/s",
            ratio=ratio(submits.rates, found["hop"].rates),
            targets=[Target(submits.rate, 900, "/s", at_least=True)],
        ),
        Figure(
            f"{database}.W3.completed",
            "W3 until all completed and readable, one worker",
            f"{completed.rate:,.0f}/s",
            floor=f"taskiq {found['bells'].rate:,.0f}/s",
            ratio=to_bells,
            targets=[
                Target(completed.rate, 500, "/s", at_least=True),
                Target(to_bells, 0.4, "× taskiq", at_least=True),
            ],
            cpu_ms=submits.cpu_ms(),
            remark="submitting and running overlap: both share the machine with the client.",
        ),
    ]


# W4, heavy


def heavy_sums(stage: Stage, say: Say, times: int = 2) -> list[Figure]:
    """Ten large sums on a worker, in between two times the same sums alone."""
    length, n = FIB_HEAVY
    body = start_body(fibonacci(length, n, threaded=True), "queued")
    alone, run, cpu = [], [], []
    for number in range(times):
        say(f"{length} × fib({n}), {number + 1} of {times}")
        alone.append(stage.driver(loads.pure_python, n, length // 2))
        before = stage.cpu()
        run.append(stage.driver(loads.one_queued, stage.stack.base_url, body))
        cpu.append(difference(stage.cpu(), before))
        alone[-1] += stage.driver(loads.pure_python, n, length - length // 2)
    over = ratio(run, alone)
    return [
        Figure(
            f"{stage.database}.W4.heavy",
            f"W4 chain of {length} × fib({n}), queued",
            f"{middle(run):.2f} s, pure Python {middle(alone):.2f} s",
            floor="pure Python",
            ratio=over,
            cpu_ms={name: 1000 * middle(each[name] for each in cpu) for name in cpu[0]},
        )
    ]


# W7

PORTIONS = 10
"""Of the answers. Each runs to its end, and before it and after the last one the hop is measured."""


@dataclass(frozen=True, slots=True)
class Waiting:
    """completed_seconds: from the first answer of each portion to its last end, together."""

    bytes_each: Mapping[str, float]
    answers: Samples
    hops: Sequence[float]  # calls a second, around each portion of the answers
    completed_seconds: float
    cpu: Mapping[str, float]


def people(stage: Stage, count: int, say: Say) -> list[Figure]:
    """Executions that wait for a person, and all of them answered."""
    wait_for_people(stage, "warm-up", 1_000, say)
    found = wait_for_people(stage, "people", count, say)
    most = max(found.bytes_each.values())
    rate = count / found.completed_seconds
    each = ", ".join(f"{name} {value:,.0f}" for name, value in found.bytes_each.items())
    return [
        Figure(
            f"{stage.database}.W7.bytes",
            f"W7 {count:,} executions wait for people",
            f"{each} bytes each",
            targets=[Target(most, 1024, "B")],
        ),
        Figure(
            f"{stage.database}.W7.answers",
            f"W7 all answered, {MANY} callers, REST",
            f"{found.answers.rate:,.0f} answers/s, all completed at {rate:,.0f}/s",
            ms=found.answers.percentiles(),
            floor=f"hop {middle(found.hops):,.0f}/s",
            ratio=ratio(found.answers.rates, found.hops),
            targets=[Target(rate, 300, "/s", at_least=True)],
            cpu_ms={name: 1000 * seconds / count for name, seconds in found.cpu.items()},
        ),
    ]


def wait_for_people(stage: Stage, name: str, count: int, say: Say) -> Waiting:
    """count: a multiple of PORTIONS."""
    driver, stack = stage.driver, stage.stack
    before = held_bytes(stage)
    say(f"{name}: {count:,} start")
    portions: dict[str, Sequence[str]] = {}
    for number in range(PORTIONS):
        workflow, size = f"{name}-{number}", count // PORTIONS
        body = definition_bytes({**approvals(1), "id": workflow})
        portions[workflow] = driver(loads.grpc_submit, stack.grpc_address, body, MANY, size)
    for workflow, ids in portions.items():
        driver(loads.all_are, stack.base_url, workflow, "waiting", len(ids))
    held = {service: (value - before[service]) / count for service, value in held_bytes(stage).items()}
    say(f"{name}: all wait, and are answered")
    cpu = stage.cpu()
    answers, hops, took = Samples(), [hop_rate(stage)], 0.0
    for workflow, ids in portions.items():
        calls = driver(loads.answers, stack.base_url, ids, "ok0", MANY)
        took += calls.seconds + driver(loads.all_are, stack.base_url, workflow, "completed", len(ids))
        answers.calls.append(calls)
        hops.append(hop_rate(stage))
    around = [middle(pair) for pair in pairwise(hops)]
    return Waiting(held, answers, around, took, difference(stage.cpu(), cpu))


def held_bytes(stage: Stage) -> dict[str, int]:
    return {name: anonymous_bytes(process.pid) for name, process in stage.services.items()}


# W8


@dataclass(frozen=True, slots=True)
class Seen:
    """What one visit gave. least_ms: a hop and a commit, around it."""

    watched: loads.Watched
    watchers: int
    least_ms: float
    gateway_mib: float
    cpu: Mapping[str, float]


def watched(stage: Stage, say: Say, seen: list[Seen], executions: int = 100, each: int = 10) -> list[Figure]:
    """Watchers on executions that go on by answers: how old events are when they come.

    seen: of earlier visits, and gets what this one finds.
    """
    rounds_of_answers, a_second = 3, 20.0
    driver, stack = stage.driver, stage.stack
    definition = {**approvals(rounds_of_answers), "id": "watched"}
    ids = driver(loads.grpc_submit, stack.grpc_address, definition_bytes(definition), 8, executions)
    driver(loads.all_are, stack.base_url, "watched", "waiting", executions)
    say(f"{executions * each:,} watchers connect")
    count = driver(loads.open_watchers, stack.base_url, ids, each)
    memory = stage.memory()["gateway"]
    say(f"{rounds_of_answers * executions} answers at {a_second:g}/s")
    floors = [hop_and_commit(stage) for _ in range(3)]
    before = stage.cpu()
    found = driver(loads.watch, stack.base_url, ids, rounds_of_answers, a_second)
    cpu = difference(stage.cpu(), before)
    floors += [hop_and_commit(stage) for _ in range(3)]
    seen.append(Seen(found, count, middle(floors), max(memory, stage.memory()["gateway"]), cpu))
    return [watched_figure(stage.database, seen, executions)]


def watched_figure(database: str, seen: Sequence[Seen], executions: int) -> Figure:
    ages = [age for one in seen for age in one.watched.ages_ms]
    p50, p95, p99 = (quantile(ages, share) for share in (0.5, 0.95, 0.99))
    halves, least = [middle(one.watched.ages_ms) for one in seen], [one.least_ms for one in seen]
    memory, ended = max(one.gateway_mib for one in seen), min(one.watched.ended for one in seen)
    count = seen[0].watchers
    return Figure(
        f"{database}.W8",
        f"W8 {count:,} watchers (SSE) on {executions} executions",
        f"p95 {p95:.0f} ms for {len(ages):,} deliveries, gateway {memory:.0f} MiB, {ended:,} saw the end",
        ms={"p50": p50, "p95": p95, "p99": p99},
        floor=f"hop + commit {middle(least):.1f} ms",
        ratio=ratio(halves, least),
        targets=[
            Target(p95, 250, "ms", what="p95"),
            Target(memory, 150, "MiB", what="gateway"),
            Target(ended, count, "saw the end", at_least=True),
        ],
        cpu_ms={name: 1000 * middle(one.cpu[name] for one in seen) / executions for name in seen[0].cpu},
        remark="the ratio is that of the medians: p50 of the deliveries to a hop and a commit.",
    )


# Memory


LIMITS_MIB = {"executor": 150, "worker": 120, "gateway": 80}
GROWTH_BYTES = 100.0
"""Of a service for each further execution, beyond which memory counts as growing: 10 MiB in 100,000."""
PARTS = 20


def memory(stage: Stage, count: int, say: Say) -> tuple[list[Figure], list[dict[str, Any]]]:
    """So many executions, five immediate ones for each queued one; the figures, and memory on the way."""
    driver, stack = stage.driver, stage.stack
    body = start_body(CHAIN, "immediate")
    done, rows = 0, [{"executions": 0, **stage.memory()}]
    for part in range(PARTS):
        immediate, queued = count * 5 // (6 * PARTS), max(1, count // (6 * PARTS))
        say(f"{done:,} of {count:,} executions")
        driver(loads.http, stack.base_url, RUN, body, COMPLETED, MANY, immediate)
        driver(loads.queued, stack.base_url, {**CHAIN, "id": f"memory-{part}"}, MANY, queued)
        done += immediate + queued
        rows.append({"executions": done, **stage.memory()})
    figures = [
        memory_figure(stage.database, name, [(row["executions"], row[name]) for row in rows])
        for name in LIMITS_MIB
    ]
    shown = [{name: round(value, 1) for name, value in row.items()} for row in rows]
    return figures, [{"database": stage.database, **row} for row in shown]


def memory_figure(database: str, name: str, points: Sequence[tuple[float, float]]) -> Figure:
    """points: (executions, MiB). The trend is that of the last half, when caches are full."""
    growth = slope(points[len(points) // 2 :]) * MIB
    most = max(mib for _, mib in points)
    return Figure(
        f"{database}.memory.{name}",
        f"memory of the {name} after {points[-1][0]:,.0f} executions",
        f"{most:.0f} MiB, {growth:+,.0f} bytes an execution",
        targets=[
            Target(most, LIMITS_MIB[name], "MiB"),
            Target(growth, GROWTH_BYTES, "B an execution"),
        ],
    )


def slope(points: Sequence[tuple[float, float]]) -> float:
    """Median of the slopes of all pairs (Theil and Sen): single steps do not bend it."""
    return middle(
        (y2 - y1) / (x2 - x1) for n, (x1, y1) in enumerate(points) for x2, y2 in points[n + 1 :] if x2 > x1
    )
