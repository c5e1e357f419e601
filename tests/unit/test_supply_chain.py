"""What is installed is named to the byte, and what runs in a container can change nothing."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from tools.sbom import document, locked

ROOT = Path(__file__).parents[2]
LOCKS = ["requirements.lock", "requirements-dev.lock", "requirements-build.lock"]


@pytest.mark.parametrize("lock", LOCKS)
def test_every_package_is_pinned_with_its_hashes(lock: str) -> None:
    packages = locked((ROOT / lock).read_text())
    assert packages
    for name, version, hashes in packages:
        assert version, name
        assert hashes, name
        assert all(re.fullmatch(r"[0-9a-f]{64}", text) for text in hashes), name


@pytest.mark.parametrize("file", ["Makefile", "Dockerfile"])
def test_packages_are_installed_by_their_hashes(file: str) -> None:
    text = (ROOT / file).read_text()
    installs = re.findall(r"pip install [^\n]*-r [^\n]*", text)
    assert installs
    assert all("--require-hashes" in line for line in installs)


def test_the_bill_of_materials_names_every_package_and_is_always_the_same() -> None:
    lock = (ROOT / "requirements.lock").read_text()
    text = document(lock)
    assert text == document(lock)
    bom = json.loads(text)
    assert (bom["bomFormat"], bom["specVersion"]) == ("CycloneDX", "1.6")
    named = {(part["name"], part["version"]) for part in bom["components"]}
    assert named == {(name, version) for name, version, _ in locked(lock)}
    assert all(part["purl"].startswith("pkg:pypi/") for part in bom["components"])


def test_the_image_runs_as_nobody_in_particular() -> None:
    users = re.findall(r"^USER (\S+)$", (ROOT / "Dockerfile").read_text(), re.MULTILINE)
    assert users
    assert users[-1] not in ("root", "0")
