"""Expressions: microseconds per evaluation beside Google's C++ implementation, and what hostile ones can
cost.

python -m benchmarks.expressions
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from cel_expr_python import cel

from flow_engine.expressions import EvaluationError, compile_expression, compile_template
from flow_engine.expressions.compiler import compile_source
from tests.unit.expressions.hostile import EXPRESSIONS, SCOPE

CONDITION = "input.amount > vars.limit && nodes.fetch.output.status == 200"
MAP = "input.items.map(i, i.price * i.count)"
ORACLE = cel.NewEnv(variables=dict.fromkeys(("input", "vars", "nodes"), cel.Type.DYN))

HOSTILE_BUDGET_MS = 80


def small_scope() -> dict[str, Any]:
    output = {"status": 200, "body": {"total": 1200}}
    return {"input": {"amount": 150}, "vars": {"limit": 100}, "nodes": {"fetch": {"output": output}}}


def large_scope() -> dict[str, Any]:
    """The same with a body of 64 KB in 1,000 items."""
    scope = small_scope()
    items = [{"id": n, "name": f"item number {n:04d}", "price": n * 0.5} for n in range(1000)]
    scope["nodes"]["fetch"]["output"]["body"]["items"] = items
    scope["input"]["padding"] = "x" * max(0, 64 * 1024 - len(json.dumps(scope)))
    return scope


def items_scope(count: int) -> dict[str, Any]:
    return {"input": {"items": [{"price": 1.5, "count": float(n)} for n in range(count)]}}


def microseconds(run: Callable[[], object], repeat: int = 7) -> float:
    """The best mean of several rounds of about 20 ms."""
    started = time.thread_time()
    run()
    rounds = max(1, int(0.02 / max(1e-7, time.thread_time() - started)))
    best = float("inf")
    for _ in range(repeat):
        started = time.thread_time()
        for _ in range(rounds):
            run()
        best = min(best, (time.thread_time() - started) / rounds)
    return best * 1e6


def compare(name: str, source: str, scope: dict[str, Any]) -> float:
    """Print ours beside the reference's, in µs; return ours."""
    expression, reference = compile_expression(source), ORACLE.compile(source, disable_check=True)
    ours = microseconds(lambda: expression.evaluate(scope))
    theirs = microseconds(lambda: reference.eval(data=scope), 2)
    print(f"  {name:38} {ours:10,.2f} µs   cel-expr-python {theirs:12,.1f} µs   ×{theirs / ours:,.0f}")
    return ours


def hostile_cost(name: str) -> float:
    """Milliseconds until the expression is stopped, the best of three."""
    expression = compile_expression(EXPRESSIONS[name])
    best = float("inf")
    for _ in range(3):
        started = time.thread_time()
        with suppress(EvaluationError):
            expression.evaluate(SCOPE)
        best = min(best, time.thread_time() - started)
    return best * 1e3


async def heartbeat_lateness(name: str) -> float:
    """The most milliseconds a beat of 10 ms comes late while the expression is evaluated over and over beside
    it.
    """
    expression = compile_expression(EXPRESSIONS[name])
    latest = 0.0
    done = asyncio.Event()

    async def beat() -> None:
        nonlocal latest
        due = time.perf_counter()
        while not done.is_set():
            due = time.perf_counter() + 0.01
            await asyncio.sleep(0.01)
            latest = max(latest, time.perf_counter() - due)

    beating = asyncio.create_task(beat())
    for _ in range(20):
        await asyncio.sleep(0.005)
        with suppress(EvaluationError):
            expression.evaluate(SCOPE)
    done.set()
    await beating
    return latest * 1e3


def verdict(name: str, value: float, limit: float, unit: str) -> bool:
    ok = value <= limit
    print(f"  {'ok    ' if ok else 'FAILED'} {name}: {value:.2f} {unit}, at most {limit:g}")
    return ok


def main() -> int:
    print("expressions")
    small = compare("small condition", CONDITION, small_scope())
    large = compare("the same over a context of 64 KB", CONDITION, large_scope())
    thousand = compare("map over 1,000 items", MAP, items_scope(1000))
    thousands = compare("map over 8,000 items", MAP, items_scope(8000))
    template = compile_template({"url": "https://x/${ input.amount }", "body": {"on": "${ vars.limit > 1 }"}})
    scope = small_scope()
    print(f"  {'template of two expressions':38} {microseconds(lambda: template.render(scope)):10,.2f} µs")
    print(f"  {'compiling the condition':38} {microseconds(lambda: compile_source(CONDITION)):10,.2f} µs")

    costs = sorted(((hostile_cost(name), name) for name in EXPRESSIONS), reverse=True)
    print(f"hostile expressions: {len(costs)}, the most expensive")
    for cost, name in costs[:5]:
        print(f"  {name:38} {cost:10,.1f} ms")
    worst = costs[0][1]
    lateness = min(asyncio.run(heartbeat_lateness(worst)) for _ in range(5))

    checks = [
        verdict("small condition", small, 3, "µs"),
        verdict("64 KB beside small", large / small, 1.5, "times"),
        verdict("8,000 items beside 1,000", thousands / thousand / 8, 1.2, "times linear"),
        verdict(f"worst hostile expression ({worst})", costs[0][0], HOSTILE_BUDGET_MS, "ms"),
        verdict("a heartbeat beside it is late by", lateness, 100, "ms"),
    ]
    return 0 if all(checks) else 1


if __name__ == "__main__":
    sys.exit(main())
