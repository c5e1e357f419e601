"""Interpreter tests run in virtual time: no test waits, and whatever hangs fails at once."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping

import pytest

from tests.unit.interpreter.virtual_time import LoopTime, VirtualTimeLoop


def pytest_asyncio_loop_factories(
    config: pytest.Config, item: pytest.Item
) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    return {"virtual": VirtualTimeLoop}


@pytest.fixture(autouse=True)
def _virtual_time(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("runner", "timers"):
        monkeypatch.setattr(f"flow_engine.interpreter.{module}.time", LoopTime)
