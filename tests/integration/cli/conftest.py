from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from services.cli.__main__ import exit_code_of
from tests.integration.cli.canned import CannedExecutor, serving


@dataclass(frozen=True)
class Ended:
    """What a command left behind."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


class Flow:
    """Runs `flow` in this process."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self._capsys = capsys

    def __call__(self, *arguments: str) -> Ended:
        self._capsys.readouterr()
        code = exit_code_of(arguments)
        captured = self._capsys.readouterr()
        return Ended(code, captured.out, captured.err)


@pytest.fixture
def flow(capsys: pytest.CaptureFixture[str]) -> Flow:
    return Flow(capsys)


@pytest.fixture
def canned(monkeypatch: pytest.MonkeyPatch) -> Iterator[CannedExecutor]:
    executor = CannedExecutor()
    with serving(executor) as address:
        monkeypatch.setenv("FLOW_GRPC_ADDRESS", address)
        yield executor


@pytest.fixture
def definition(tmp_path: Path) -> str:
    """A file with a definition."""
    file = tmp_path / "w.json"
    file.write_text('{"id": "w", "name": "W", "nodes": [{"id": "a", "type": "data.set"}]}')
    return str(file)
