"""One secret, where it may go, and whoever keeps it."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from flow_engine.egress.rules import canonical
from flow_engine.errors import Problem

NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,127}")
LEAST_LENGTH = 4
"""A shorter value cannot be told from ordinary text, so that it could not be kept out of outputs."""
MOST_BYTES = 64 << 10
MOST_HOSTS = 100
_HOST = re.compile(r"\*|(\*\.)?[a-z0-9_:%-][a-z0-9_.:%-]{0,252}")


@dataclass(frozen=True, slots=True)
class Secret:
    """hosts: names and addresses that it may be sent to; `*.example.com` is any below, `*` any at all."""

    value: str = field(repr=False)
    hosts: tuple[str, ...]

    def may_go_to(self, host: str) -> bool:
        name = canonical(host)
        return any(_covers(pattern, name) for pattern in self.hosts)


class SecretSource(Protocol):
    """Gives one execution the secrets that its definition names."""

    async def secrets(self, names: Collection[str]) -> Mapping[str, Secret]:
        """Those that exist. Raises Unavailable or its like when nobody can tell."""
        ...


class NoSecrets:
    """Where there are none."""

    async def secrets(self, names: Collection[str]) -> Mapping[str, Secret]:
        return {}


NO_SECRETS = NoSecrets()


def _covers(pattern: str, name: str) -> bool:
    if pattern == "*":
        return True
    if pattern.startswith("*."):
        return name.endswith(pattern[1:])
    return canonical(pattern) == name


def secret_problems(name: str, value: str, hosts: Collection[str]) -> list[Problem]:
    """Everything that is wrong with a secret, by the field of the request; the value is never told."""
    problems = []
    if not NAME.fullmatch(name):
        message = "a name begins with a letter or _, and has letters, digits and _, 128 at most"
        problems.append(Problem("/name", "INVALID_VALUE", message))
    if len(value) < LEAST_LENGTH:
        message = f"a value of fewer than {LEAST_LENGTH} characters cannot be kept out of outputs"
        problems.append(Problem("/value", "OUT_OF_RANGE", message))
    elif len(value.encode()) > MOST_BYTES:
        problems.append(Problem("/value", "OUT_OF_RANGE", f"a value has {MOST_BYTES >> 10} KiB at most"))
    elif "\0" in value:
        problems.append(Problem("/value", "INVALID_VALUE", "a value holds no NUL"))
    if not hosts:
        hint = 'name the hosts that it is for, such as "api.example.com" or "*.example.com"; "*" is any'
        problems.append(Problem("/hosts", "MISSING_FIELD", "a secret is bound to at least one host", hint))
    elif len(hosts) > MOST_HOSTS:
        problems.append(Problem("/hosts", "OUT_OF_RANGE", f"there are more than {MOST_HOSTS} hosts"))
    for index, host in enumerate(hosts):
        if not _HOST.fullmatch(host.lower().strip("[]")):
            message = "this is no host name, address or pattern such as *.example.com"
            problems.append(Problem(f"/hosts/{index}", "INVALID_VALUE", message))
    return problems


def host_pattern(text: str) -> str:
    """One spelling for each pattern."""
    return text.lower() if text.startswith("*") else canonical(text)
