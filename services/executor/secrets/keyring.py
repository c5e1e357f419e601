"""The keys that secrets in the database are encrypted with.

The library that does it is imported where there is a key: it is a tenth of an executor's memory.

The first key encrypts, each of them decrypts: to change keys, put a new one in front, start, and take the
old one away. What it encrypts names its owner, so that a row that somebody moved or copied is no secret.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from pathlib import Path

import msgspec

from flow_engine.errors import NoSecretsKey, SecretUnreadable
from flow_engine.secrets import Secret

SETTING = "FLOW_SECRETS_KEY"
KEY_FILE = "secrets.key"
"""In the data folder: one key a line, the newest first."""


class _Sealed(msgspec.Struct):
    namespace: str
    name: str
    value: str
    hosts: tuple[str, ...]


def new_key() -> str:
    from cryptography.fernet import Fernet

    return Fernet.generate_key().decode()


def keys_of(text: str) -> tuple[str, ...]:
    """Keys separated by commas or space. Raises ValueError, which tells none of them."""
    keys = tuple(text.replace(",", " ").split())
    if not keys:
        return ()
    from cryptography.fernet import Fernet

    for number, key in enumerate(keys, 1):
        try:
            Fernet(key)
        except ValueError:
            raise ValueError(f"key {number} is not 32 bytes in base64") from None
    return keys


class Keyring:
    """keys: none are given; then the key file is used, and made where `may_make` says so."""

    def __init__(self, keys: Sequence[str], data_dir: Path, *, may_make: bool) -> None:
        self._given = tuple(keys)
        self._file = data_dir / KEY_FILE
        self._may_make = may_make
        self._keys: tuple[str, ...] = self._given

    def seal(self, namespace: str, name: str, secret: Secret) -> tuple[bytes, str]:
        """The encrypted secret and the id of its key. Raises NoSecretsKey."""
        keys = self._loaded() or self._made()
        plain = msgspec.msgpack.encode(_Sealed(namespace, name, secret.value, secret.hosts))
        from cryptography.fernet import Fernet

        return Fernet(keys[0]).encrypt(plain), key_id(keys[0])

    def open(self, namespace: str, name: str, sealed: bytes) -> Secret:
        """Raises SecretUnreadable."""
        keys = self._loaded()
        found = _opened(keys, sealed) if keys else None
        if found is None or (found.namespace, found.name) != (namespace, name):
            raise SecretUnreadable(name)
        return Secret(found.value, found.hosts)

    @property
    def newest_id(self) -> str:
        """Of the key that encrypts; "" if there is none yet."""
        keys = self._loaded()
        return key_id(keys[0]) if keys else ""

    def _loaded(self) -> tuple[str, ...]:
        if not self._keys:
            try:
                self._keys = keys_of(self._file.read_text())
            except FileNotFoundError:
                return ()
        return self._keys

    def _made(self) -> tuple[str, ...]:
        if not self._may_make:
            raise NoSecretsKey
        try:
            descriptor = os.open(self._file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except FileExistsError:  # somebody else was first
            return self._loaded()
        with os.fdopen(descriptor, "w") as file:
            file.write(new_key() + "\n")
            file.flush()
            os.fsync(file.fileno())
        return self._loaded()


def _opened(keys: Sequence[str], sealed: bytes) -> _Sealed | None:
    from cryptography.fernet import Fernet, InvalidToken, MultiFernet

    try:
        return msgspec.msgpack.decode(
            MultiFernet([Fernet(key) for key in keys]).decrypt(sealed), type=_Sealed
        )
    except (InvalidToken, msgspec.MsgspecError):
        return None


def key_id(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest()[:16]
