"""The examples as people run them: `flow run`, offline. Those of `flow up --examples` are tested there."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from flow_engine.tether import tethered
from services.cli.stack.showcase import NAMES, deviations_of
from tests.infra.postgres import PostgresCluster
from tests.infra.stack import Stack

EXAMPLES = Path(__file__).parents[2] / "examples"
DEFINITIONS = {path.name.removesuffix(".expected.json") for path in EXAMPLES.glob("*.expected.json")}
ALONE = sorted(DEFINITIONS - {*NAMES})
"""Examples that need more than the stack itself offers, or nothing."""


def load(name: str, kind: str) -> Any:
    return json.loads((EXAMPLES / f"{name}{kind}.json").read_text())


def flow_run(stack: Stack, name: str, addresses: dict[str, Any]) -> subprocess.CompletedProcess[str]:
    value = load(name, ".input")
    value |= {field: address for field, address in addresses.items() if field in value}
    definition = str(EXAMPLES / f"{name}.json")
    return subprocess.run(
        [sys.executable, "-m", "services.cli", "run", definition, "--input", json.dumps(value), "--json"],
        env={**os.environ, "FLOW_GRPC_ADDRESS": stack.grpc_address},
        capture_output=True,
        text=True,
        timeout=60,
    )


@contextmanager
def outside_world(stack: Stack) -> Iterator[dict[str, Any]]:
    """What the examples call and who works for them; where that is, by the field of their inputs."""
    servers = [sys.executable, str(EXAMPLES / "servers.py"), "0", "0"]
    invoices = [sys.executable, str(EXAMPLES / "workers" / "invoices.py"), stack.grpc_address, "invoices"]
    with (
        subprocess.Popen(tethered(servers), stdout=subprocess.PIPE, text=True) as world,
        subprocess.Popen(tethered(invoices)) as working,
    ):
        try:
            assert world.stdout is not None
            ready = re.fullmatch(r"ready mail=(\S+):(\d+) model=(\S+)\n", world.stdout.readline())
            assert ready
            yield {"mailHost": ready[1], "mailPort": int(ready[2]), "modelUrl": ready[3]}
        finally:
            world.kill()
            working.kill()


# Workflows never reach the engine's own database.
@pytest.mark.parametrize("shared_stack", ["sqlite"], ids=["on-sqlite"], indirect=True)
def test_every_example_runs_offline_and_gives_what_it_promises(
    shared_stack: Stack, postgres_cluster: PostgresCluster
) -> None:
    database = postgres_cluster.create_database()
    with outside_world(shared_stack) as addresses, ThreadPoolExecutor() as threads:
        addresses["databaseUrl"] = database
        runs = dict(
            zip(ALONE, threads.map(lambda name: flow_run(shared_stack, name, addresses), ALONE), strict=True)
        )
    postgres_cluster.drop_database(database)
    for name, run in runs.items():
        assert run.returncode == 0, (name, run.stdout, run.stderr)
        shown = json.loads(run.stdout.splitlines()[-1])
        assert deviations_of(shown, load(name, ".expected")) == [], name


@pytest.mark.parametrize("name", sorted(DEFINITIONS))
def test_every_example_is_named_by_its_file_and_told_of(name: str) -> None:
    definition = load(name, "")
    assert definition["id"] == name
    assert definition["description"]
    assert f"({name}.json)" in (EXAMPLES / "README.md").read_text()


def test_there_is_an_example_of_every_family() -> None:
    types = {node["type"] for name in DEFINITIONS for node in load(name, "")["nodes"]}
    families = {type_.partition(".")[0] for type_ in types}
    wanted = {"logic", "data", "flow", "http", "database", "email", "ai", "human", "code", "task"}
    assert families >= wanted
