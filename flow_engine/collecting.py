"""The garbage collector of a service: it walks what calls leave behind, not what the process consists of."""

from __future__ import annotations

import gc

YOUNG = 10_000
"""Objects made, less those that are gone, before it looks at them: Python's own 700 are two calls' worth."""


def spare_what_is_loaded() -> None:
    """Once a service is ready. Modules, node types and routes stay for ever: a tenth of a busy process's time
    went into finding that out again."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNG, 20, 20)
