"""All secrets of a namespace: those in the database first, then those of the providers."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import structlog

from flow_engine.errors import InvalidRequest, SecretUnreadable
from flow_engine.secrets import Secret
from flow_engine.secrets.secret import host_pattern, secret_problems
from services.executor.persistence.kept_secrets import KeptSecret, KeptSecrets
from services.executor.secrets.keyring import Keyring
from services.executor.secrets.providers import SecretProvider

log = structlog.get_logger()

DATABASE = "database"


@dataclass(frozen=True, slots=True)
class Listed:
    """What may be told of a secret."""

    name: str
    hosts: tuple[str, ...]
    source: str
    updated_at: datetime | None = None


class SecretVault:
    def __init__(self, store: KeptSecrets, keyring: Keyring, providers: Sequence[SecretProvider]) -> None:
        self._store = store
        self._keyring = keyring
        self._providers = providers

    async def start(self) -> None:
        """Encrypt with the newest key what another one encrypted. Raises Unavailable."""
        newest = self._keyring.newest_id
        for kept in await self._store.of_other_keys(newest) if newest else ():
            try:
                secret = self._keyring.open(kept.namespace, kept.name, kept.sealed)
            except SecretUnreadable as error:
                log.error("secret.unreadable", namespace=kept.namespace, name=kept.name, error=str(error))
                continue
            sealed, key_id = self._keyring.seal(kept.namespace, kept.name, secret)
            await self._store.reseal(kept, sealed, key_id)

    async def put(self, namespace: str, name: str, value: str, hosts: Sequence[str]) -> tuple[Listed, bool]:
        """What is told of it, and whether it is new. Raises InvalidRequest, NoSecretsKey."""
        if problems := secret_problems(name, value, hosts):
            raise InvalidRequest(problems)
        bound = tuple(dict.fromkeys(map(host_pattern, hosts)))
        sealed, key_id = self._keyring.seal(namespace, name, Secret(value, bound))
        kept, created = await self._store.put(namespace, name, sealed, key_id, bound)
        return listed(kept), created

    async def delete(self, namespace: str, name: str) -> None:
        """Raises SecretMissing."""
        await self._store.delete(namespace, name)

    async def all_of(self, namespace: str) -> list[Listed]:
        found = {kept.name: listed(kept) for kept in await self._store.all_of(namespace)}
        for provider in self._providers:
            for name, hosts in (await provider.names(namespace)).items():
                found.setdefault(name, Listed(name, hosts, provider.source))
        return [found[name] for name in sorted(found)]

    async def get(self, namespace: str, names: Collection[str]) -> Mapping[str, Secret]:
        """Those that exist. Raises SecretUnreadable."""
        kept = await self._store.get(namespace, names)
        found = {row.name: self._keyring.open(namespace, row.name, row.sealed) for row in kept}
        for name in set(names) - found.keys():
            for provider in self._providers:
                if (secret := await provider.get(namespace, name)) is not None:
                    found[name] = secret
                    break
        return {name: secret for name, secret in found.items() if _usable(name, secret)}

    def of(self, namespace: str) -> NamespaceSecrets:
        return NamespaceSecrets(self, namespace)


class NamespaceSecrets:
    """A `SecretSource` for runs in this process."""

    def __init__(self, vault: SecretVault, namespace: str) -> None:
        self._vault = vault
        self._namespace = namespace

    async def secrets(self, names: Collection[str]) -> Mapping[str, Secret]:
        return await self._vault.get(self._namespace, names)


def listed(kept: KeptSecret) -> Listed:
    return Listed(kept.name, kept.hosts, DATABASE, kept.updated_at)


def _usable(name: str, secret: Secret) -> bool:
    """What others keep may be too short to be taken out of outputs again."""
    problems = secret_problems(name, secret.value, ["*"])
    for problem in problems:
        log.error("secret.unusable", name=name, reason=problem.message)
    return not problems
