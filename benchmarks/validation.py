"""How long it takes to refuse a definition of 10,000 nodes with 200 problems, and to name them all.

python -m benchmarks.validation
"""

from __future__ import annotations

import random
import sys
import time
from collections.abc import Callable

from flow_engine.nodes.registry import built_in_registry
from flow_engine.workflow.validation import validate_workflow
from tests.unit.workflow.test_validation import large, plant

NODES, PROBLEMS, ALLOWED_SECONDS = 10_000, 200, 1.0


def main() -> int:
    random.seed(1)
    types, document = built_in_registry(), large(NODES)
    plant(document, PROBLEMS)
    named = len(validate_workflow(document, types))
    best = min(measured(lambda: validate_workflow(document, types)) for _ in range(5))
    print(f"{NODES:,} nodes, {named} of {PROBLEMS} problems named: {best:.2f} s, at most {ALLOWED_SECONDS:g}")
    return int(best > ALLOWED_SECONDS or named != PROBLEMS)


def measured(run: Callable[[], object]) -> float:
    begun = time.perf_counter()
    run()
    return time.perf_counter() - begun


if __name__ == "__main__":
    sys.exit(main())
