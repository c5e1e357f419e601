"""Patterns are played in virtual time, as the interpreter's own tests are."""

from __future__ import annotations

from tests.unit.interpreter.conftest import _virtual_time, pytest_asyncio_loop_factories

__all__ = ["_virtual_time", "pytest_asyncio_loop_factories"]
