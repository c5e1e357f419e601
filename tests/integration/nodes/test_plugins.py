"""Node types of third parties: a real package, installed, found and run by a process of its own."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[3]
PACKAGE = ROOT / "tests" / "plugins" / "acme_nodes"

LOAD_AND_RUN = """
import asyncio, json
from flow_engine.nodes.contract import NodeContext, NodeServices
from flow_engine.nodes.registry import load_registry

registry = load_registry()
greet = registry.get("acme.greet")
context = NodeContext("execution", "node", (), 1, "key", NodeServices(), {})
outcome = asyncio.run(greet.run(context, greet.config_model.model_validate(greet.example)))
print(json.dumps({
    "names": registry.names(),
    "output": outcome.output,
    "described": [each for each in registry.describe() if each["type"] == "acme.greet"],
    "broken": [[each.entry_point, each.package, str(each)] for each in registry.broken],
}))
"""


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that holds the package as an installer puts it there."""
    # The build writes beside the sources.
    source = tmp_path_factory.mktemp("source") / "acme_nodes"
    shutil.copytree(PACKAGE, source)
    target = tmp_path_factory.mktemp("installed")
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    offline = ["--no-index", "--no-deps", "--no-build-isolation", "--target", str(target)]
    subprocess.run([*pip, *offline, str(source)], check=True)
    return target


def python(script: str, *folders: Path) -> subprocess.CompletedProcess[str]:
    """Run a script with packages of these folders beside those of this environment."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, [*folders, ROOT]))}
    return subprocess.run(
        [sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=False
    )


@pytest.fixture(scope="module")
def loaded(installed: Path) -> dict[str, Any]:
    result = python(LOAD_AND_RUN, installed)
    assert result.returncode == 0, result.stderr
    answer: dict[str, Any] = json.loads(result.stdout)
    return answer


def test_a_type_of_an_installed_package_is_found_and_runs(loaded: dict[str, Any]) -> None:
    assert {"acme.greet", "data.set", "http.request"} <= set(loaded["names"])
    assert loaded["output"] == "Good morning, Ada!"


def test_it_is_described_like_the_built_in_ones(loaded: dict[str, Any]) -> None:
    (described,) = loaded["described"]
    assert described["summary"] == "Greets somebody."
    assert described["configSchema"]["required"] == ["name"]
    assert described["configSchema"]["properties"]["firstWord"]["default"] == "Hello"


def test_broken_types_are_reported_by_name_and_hide_nothing(loaded: dict[str, Any]) -> None:
    broken = {entry_point: (package, told) for entry_point, package, told in loaded["broken"]}
    assert set(broken) == {"acme.broken", "acme.wrong"}
    assert broken["acme.broken"] == (
        "acme-nodes",
        "node type acme.broken of package acme-nodes cannot be used: the licence of Acme has run out",
    )
    assert "its example is wrong at name: Field required" in broken["acme.wrong"][1]
    assert not {"acme.broken", "acme.wrong"} & set(loaded["names"])


def test_two_packages_that_bring_one_type_are_refused_naming_both(installed: Path, tmp_path: Path) -> None:
    (tmp_path / "rival.py").write_text("from acme_nodes import Greet\n")
    metadata = tmp_path / "rival-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: rival\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text("[flow_engine.nodes]\nacme.greet = rival:Greet\n")
    result = python(LOAD_AND_RUN, installed, tmp_path)
    assert result.returncode != 0
    assert (
        "two node types are named acme.greet: "
        "acme_nodes:Greet of package acme-nodes and rival:Greet of package rival" in result.stderr
    )
