"""The functions of the language. Importing this package fills the registry."""

from __future__ import annotations

from flow_engine.expressions.functions import (  # noqa: F401
    conversions,
    dates,
    encodings,
    lists,
    maps,
    maths,
    patterns,
    strings,
)
from flow_engine.expressions.functions.registry import ACCEPTED, ENTRIES, OVERLOADS, Entry, Overload, document

__all__ = ["ACCEPTED", "ENTRIES", "OVERLOADS", "Entry", "Overload", "document"]
