"""A little of what `make fuzz` does for a minute, with the same inputs each time."""

from __future__ import annotations

import pytest

from tests.security.fuzzing import TARGETS, throw


@pytest.mark.parametrize("name", TARGETS)
def test_whatever_comes_in_is_taken_or_refused(name: str) -> None:
    throw(name, 40, chosen=1)
