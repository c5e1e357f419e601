"""How benchmarks judge what they measured."""

from __future__ import annotations

from benchmarks.figures import Figure, Report, Target, compared, markdown, quantile
from benchmarks.guard import judged
from benchmarks.loads import Calls
from benchmarks.rounds import Found, rounds
from benchmarks.table import visits
from benchmarks.workloads import slope


def report(*figures: Figure, speed: float = 1.0) -> Report:
    return Report({"cores": "2"}, figures, [], speed)


def test_a_quantile_is_a_value_that_was_measured() -> None:
    assert quantile([3.0, 1.0, 2.0], 0.5) == 2.0
    assert quantile([float(n) for n in range(1, 101)], 0.99) == 99.0
    assert quantile([7.0], 0.99) == 7.0


def test_times_and_rates_are_judged_at_the_speed_of_the_reference_too() -> None:
    slow = Figure(
        "postgresql.W1", "W1", "", targets=[Target(10, 6, "ms"), Target(400, 600, "/s", at_least=True)]
    )
    wide = Figure("postgresql.W2", "W2", "", targets=[Target(0.3, 0.4, "× hop", at_least=True)])
    assert report(slow, speed=0.5).verdict(slow) == "missed here, met at reference speed"
    assert report(slow, speed=1.0).verdict(slow) == "MISSED"
    assert report(wide, speed=0.1).verdict(wide) == "MISSED"


def test_two_runs_agree_when_no_ratio_differs_by_more_than_a_fifth() -> None:
    def run(ratio: float) -> dict[str, object]:
        return report(Figure("a.W1", "W1", "", ratio=ratio), Figure("a.W2", "W2", "", ratio=2.0)).document()

    assert compared(run(1.0), run(1.19))[1]
    table, agree = compared(run(1.0), run(1.25))
    assert not agree
    assert [line.count("APART") for line in table.splitlines()] == [0, 0, 1, 0]


def test_the_table_has_a_line_for_each_figure_and_its_processor_time() -> None:
    figure = Figure("sqlite.W1", "W1 chain", "5 ms", ms={"p50": 5.0}, ratio=2.5, cpu_ms={"executor": 3.0})
    lines = markdown(report(figure)).splitlines()
    assert [line for line in lines if "W1 chain" in line and "2.50 ×" in line]
    assert [line for line in lines if "W1 chain" in line and "3.00" in line]


def test_most_workloads_are_come_to_twice_and_graphs_and_memory_have_services_of_their_own() -> None:
    assert visits(["postgresql", "sqlite"], ["immediate", "finished", "graphs", "memory"]) == [
        ("postgresql", ["immediate", "finished"]),
        ("sqlite", ["immediate"]),
        ("postgresql", ["graphs"]),
        ("sqlite", ["graphs"]),
        ("postgresql", ["immediate"]),
        ("sqlite", ["immediate"]),
        ("postgresql", ["memory"]),
    ]


def test_rounds_are_added_to_those_of_an_earlier_visit() -> None:
    found: Found = {}
    took = iter([9.0, 1.0, 9.0, 3.0])  # a warm-up before each
    for _ in range(2):
        rounds(
            {"a": lambda: Calls(1.0, [next(took)])},
            lambda: {"executor": 0.0},
            seconds=0.0, least=1, most=1, say=lambda _: None, found=found,
        )  # fmt: skip
    assert found["a"].halves == [1.0, 3.0]
    assert len(found["a"].cpu) == 2


def test_rounds_take_turns_forwards_and_backwards_after_a_warm_up() -> None:
    order: list[str] = []

    def step(name: str) -> Calls:
        order.append(name)
        return Calls(1.0, [1.0, 2.0])

    steps = {name: lambda name=name: step(name) for name in "ab"}
    found = rounds(
        steps, lambda: {"executor": len(order) / 10}, seconds=0.0, least=2, most=9, say=lambda _: None
    )
    assert "".join(order) == "ababba"
    assert found["a"].rate == 2.0
    assert round(found["a"].cpu_ms()["executor"]) == 50


def test_a_step_does_not_bend_the_trend_of_memory() -> None:
    assert slope([(n, 100.0 + (5.0 if n > 6 else 0.0)) for n in range(10)]) < 1.0
    assert slope([(n, 100.0 + 2 * n) for n in range(10)]) == 2.0


def test_the_guard_names_what_became_dearer() -> None:
    table, beyond = judged({"immediate": 16.1, "queued": 20.0}, {"immediate": 10.0, "queued": 20.0})
    assert "1.61 ×" in table
    assert len(beyond) == 1
    assert beyond[0].startswith("immediate: an execution takes the processor time of 16.1 bare calls")
