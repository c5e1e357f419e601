"""What a service's process does not spend: on imports at its start, and on garbage collection after it."""

from __future__ import annotations

import gc
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType

UNUSED = ("opentelemetry", "pygments", "rfc3986_validator", "rich")
"""redis, httpx, jsonschema and structlog load these where they find them: for figures of their own, a command
line, formats of strings, and tracebacks in colour. Nobody asks them for any of it here."""
PARTLY_USED = ("sqlalchemy.ext.asyncio",)
"""Packages of which only modules are imported: what they import themselves is left out, such as all that
maps rows to objects."""


@contextmanager
def lean_imports() -> Iterator[None]:
    """Inside, UNUSED are as if they were not installed, PARTLY_USED hold nothing but their modules, and the
    garbage collector rests.

    It would go through all that was imported again and again, and find nothing: modules stay. For the same
    reason it leaves alone, from then on, what was imported here. Afterwards all can be imported.
    """
    hidden: dict[str, ModuleType | None] = dict.fromkeys(UNUSED)
    # taskiq insists on it, for a middleware that reports to a web site of its own.
    hidden["aiohttp"] = stand_in = ModuleType("aiohttp")
    stand_in.ClientSession = None  # type: ignore[attr-defined]
    hidden.update((name, without_itself(name)) for name in PARTLY_USED)
    hidden = {name: instead for name, instead in hidden.items() if name not in sys.modules}
    sys.modules.update(hidden)  # type: ignore[arg-type] # None: whoever imports it gets an ImportError
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()
        for name in hidden:
            del sys.modules[name]


def without_itself(package: str) -> ModuleType:
    """A package that its modules can be imported from, and that imports nothing itself."""
    top, *inner = package.split(".")
    found = find_spec(top)
    stand_in = ModuleType(package)
    stand_in.__path__ = [
        str(Path(place, *inner)) for place in (found and found.submodule_search_locations) or ()
    ]
    return stand_in


YOUNG = 10_000
"""Objects made, less those that are gone, before the collector looks at them: Python's 700 are two calls."""


def collect_rarely() -> None:
    """Once a service is ready: its modules, node types and routes stay for ever. A tenth of a busy process's
    time went into finding that out again."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNG, 20, 20)
