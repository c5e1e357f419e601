"""Node types that compute: the work of W4. Only services that the benchmark starts ever load them."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any, ClassVar

from pydantic import Field

from flow_engine.nodes.contract import Completed, NodeConfig, NodeContext, NodeType


def fib(n: int) -> int:
    """By the definition: two calls for each, so that there is something to compute."""
    return n if n < 2 else fib(n - 1) + fib(n - 2)


class FibConfig(NodeConfig):
    n: int = Field(ge=0, le=40, description="Which number of Fibonacci's.")


class Fib(NodeType[FibConfig]):
    """Computes a Fibonacci number where it stands: for small ones, since everything else waits."""

    type = "bench.fib"
    title = "Fibonacci"
    config_model = FibConfig
    example: ClassVar[dict[str, Any]] = {"n": 10}
    inline = True

    async def run(self, context: NodeContext, config: FibConfig) -> Completed:
        return Completed(fib(config.n))


class FibThreaded(NodeType[FibConfig]):
    """Computes a Fibonacci number in a thread: for large ones, so that the process goes on answering."""

    type = "bench.fibThreaded"
    title = "Fibonacci in a thread"
    config_model = FibConfig
    example: ClassVar[dict[str, Any]] = {"n": 10}

    async def run(self, context: NodeContext, config: FibConfig) -> Completed:
        return Completed(await asyncio.to_thread(fib, config.n))


def installed_in(folder: Path) -> Path:
    """Makes `folder`, put on PYTHONPATH, look as if a package with these types were installed there."""
    information = folder / "flow_bench_nodes-1.dist-info"
    information.mkdir(parents=True)
    (information / "METADATA").write_text("Metadata-Version: 2.1\nName: flow-bench-nodes\nVersion: 1\n")
    entries = "".join(f"{kind.type} = {kind.__module__}:{kind.__name__}\n" for kind in (Fib, FibThreaded))
    (information / "entry_points.txt").write_text(f"[flow_engine.nodes]\n{entries}")
    return folder
