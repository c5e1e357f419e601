"""Which tests run in one process under pytest-xdist: those of one stack, so that it starts and idles once.

As `--dist loadgroup` does it, whose marks get lost under pytest 9.2.
"""

from __future__ import annotations

import re

from xdist.scheduler import LoadScopeScheduling  # type: ignore[import-untyped]

SHARED_STACK = re.compile(r"\bon-(?:sqlite|postgresql)\b")
"""In the ids of tests that use one."""
MODULES = {
    "tests/integration/cli/test_up.py": "up",
    "tests/security/test_abuse.py": "besieged",
    "tests/security/test_every_route.py": "installation",
    "tests/security/test_two_tenants.py": "installation",
}


class Scheduling(LoadScopeScheduling):  # type: ignore[misc]
    """Groups first, the largest ahead; every other test by itself, to whoever is free."""

    def _split_scope(self, nodeid: str) -> str:
        return group_of(nodeid) or nodeid


def group_of(nodeid: str) -> str:
    """Empty: it runs anywhere."""
    stack = SHARED_STACK.search(nodeid)
    return stack[0] if stack else MODULES.get(nodeid.partition("::")[0], "")
