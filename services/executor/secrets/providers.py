"""Secrets that are kept elsewhere: in the environment, in files, or by whoever a package knows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib.metadata import entry_points
from pathlib import Path
from typing import Protocol

import structlog

from flow_engine.ids import DEFAULT_NAMESPACE
from flow_engine.secrets import Secret
from flow_engine.secrets.secret import NAME, host_pattern

log = structlog.get_logger()

ENTRY_POINT_GROUP = "flow_engine.secret_providers"
PREFIX = "FLOW_SECRET_"
HOSTS = "FLOW_SECRETS_HOSTS"


class SecretProvider(Protocol):
    """Packages bring theirs by entry points of the group `flow_engine.secret_providers`.

    Each is a class, made without arguments.
    """

    source: str  # what lists call it

    async def get(self, namespace: str, name: str) -> Secret | None: ...

    async def names(self, namespace: str) -> Mapping[str, tuple[str, ...]]:
        """The hosts of each."""
        ...


class EnvironmentSecrets:
    """`FLOW_SECRET_<NAME>`, for namespace `default`. hosts: from `FLOW_SECRETS_HOSTS`."""

    source = "environment"

    def __init__(self, environment: Mapping[str, str], hosts: Mapping[str, tuple[str, ...]]) -> None:
        self._values = {
            name.removeprefix(PREFIX): value
            for name, value in environment.items()
            if name.startswith(PREFIX) and NAME.fullmatch(name.removeprefix(PREFIX))
        }
        self._hosts = hosts

    async def get(self, namespace: str, name: str) -> Secret | None:
        if namespace != DEFAULT_NAMESPACE or name not in self._values:
            return None
        return Secret(self._values[name], self._hosts.get(name, ()))

    async def names(self, namespace: str) -> Mapping[str, tuple[str, ...]]:
        if namespace != DEFAULT_NAMESPACE:
            return {}
        return {name: self._hosts.get(name, ()) for name in self._values}


class FileSecrets:
    """A file for each, as container platforms mount them; of other namespaces in folders of their names.

    A line end at the end of a file does not count. Read anew each time: whoever changes a file has changed
    the secret. hosts: from `FLOW_SECRETS_HOSTS`, or one a line from the file `<NAME>.hosts` beside it.
    """

    source = "files"

    def __init__(self, folder: Path, hosts: Mapping[str, tuple[str, ...]]) -> None:
        self._folder = folder
        self._hosts = hosts

    async def get(self, namespace: str, name: str) -> Secret | None:
        if not NAME.fullmatch(name):  # nobody names a path
            return None
        folder = self._folder_of(namespace)
        try:
            value = (folder / name).read_text()
        except OSError:
            return None
        return Secret(value.removesuffix("\n").removesuffix("\r"), self._hosts_of(folder, name))

    async def names(self, namespace: str) -> Mapping[str, tuple[str, ...]]:
        folder = self._folder_of(namespace)
        try:
            found = [file.name for file in folder.iterdir() if NAME.fullmatch(file.name) and file.is_file()]
        except OSError:
            return {}
        return {name: self._hosts_of(folder, name) for name in found}

    def _folder_of(self, namespace: str) -> Path:
        return self._folder if namespace == DEFAULT_NAMESPACE else self._folder / namespace

    def _hosts_of(self, folder: Path, name: str) -> tuple[str, ...]:
        try:
            return tuple(host_pattern(host) for host in (folder / f"{name}.hosts").read_text().split())
        except OSError:
            return self._hosts.get(name, ())


def hosts_of(text: str) -> dict[str, tuple[str, ...]]:
    """`NAME=host,*.host OTHER=host` by name. Raises ValueError."""
    found: dict[str, tuple[str, ...]] = {}
    for entry in text.split():
        name, equals, hosts = entry.partition("=")
        if not (equals and hosts and NAME.fullmatch(name)):
            raise ValueError(f"holds {entry!r}, which is not of the form NAME=host,host")
        found[name] = tuple(host_pattern(host) for host in hosts.split(",") if host)
    return found


def installed_providers() -> Sequence[SecretProvider]:
    """Those of installed packages, by name. One that cannot be made is told of and left out."""
    found: list[SecretProvider] = []
    for entry_point in sorted(entry_points(group=ENTRY_POINT_GROUP), key=lambda each: each.name):
        try:
            found.append(entry_point.load()())
        except Exception:  # importing a foreign package runs its code
            log.exception("secret_provider.broken", provider=entry_point.name)
    return found
