"""A node type that kills the process that runs it. Only services that the bench starts ever load it."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any, ClassVar

from flow_engine.nodes.contract import Completed, Effect, NodeConfig, NodeContext, NodeType


class DeadlyConfig(NodeConfig):
    pass


class Deadly(NodeType[DeadlyConfig]):
    """Kills its process."""

    type = "chaos.kill"
    title = "Kill"
    config_model = DeadlyConfig
    example: ClassVar[dict[str, Any]] = {}
    effect = Effect.EXTERNAL

    async def run(self, context: NodeContext, config: DeadlyConfig) -> Completed:
        os.kill(os.getpid(), signal.SIGKILL)
        return Completed(None)


def installed_in(folder: Path) -> Path:
    """Makes `folder`, put on PYTHONPATH, look as if a package with this node type were installed there."""
    information = folder / "chaos_nodes-1.dist-info"
    information.mkdir(parents=True)
    (information / "METADATA").write_text("Metadata-Version: 2.1\nName: chaos-nodes\nVersion: 1\n")
    (information / "entry_points.txt").write_text(
        f"[flow_engine.nodes]\nchaos.kill = {Deadly.__module__}:{Deadly.__name__}\n"
    )
    return folder
