"""Labels of stored workflows: few, small, and plain enough for addresses and shells."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from flow_engine.errors import InvalidRequest, Problem
from flow_engine.workflow import pointers

MOST_LABELS = 32
MOST_VALUE_LENGTH = 256
NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._/-]{0,61}[A-Za-z0-9])?")


def relabelled(
    labels: Mapping[str, str], changes: Mapping[str, str], removed: Iterable[str] = ()
) -> dict[str, str]:
    """The labels with some set and some removed. Raises InvalidRequest naming every one that cannot be."""
    problems = [
        Problem("/labels" + pointers.step(name), "INVALID_VALUE", message)
        for name, value in changes.items()
        if (message := unfit(name, value))
    ]
    gone = frozenset(removed)
    after = {name: value for name, value in {**labels, **changes}.items() if name not in gone}
    if len(after) > MOST_LABELS:
        problems.append(Problem("/labels", "OUT_OF_RANGE", f"a workflow has at most {MOST_LABELS} labels"))
    if problems:
        raise InvalidRequest(problems)
    return after


def unfit(name: str, value: str) -> str:
    """Why they cannot be a label; empty when they can."""
    if not NAME.fullmatch(name):
        return (
            "a label's name has 1 to 63 letters, digits and . _ - /, and begins and ends with the first two"
        )
    if len(value) > MOST_VALUE_LENGTH or any(ord(character) < 32 for character in value):
        return f"a label's value has at most {MOST_VALUE_LENGTH} characters and no control characters"
    return ""
