"""API tokens: `flow_<id>_<secret>`. Whoever reads the database learns none: it holds hashes.

The secret has 256 random bits, so a plain hash keeps it: there is nothing to guess. The prefix lets
scanners of repositories and logs know what they found.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta

from flow_engine.errors import InvalidRequest, Problem
from services.executor.access.roles import ROLES

TOKEN = re.compile(r"flow_([0-9a-f]{16})_[A-Za-z0-9_-]{43}")
DEFAULT_TTL = timedelta(days=90)
LONGEST_TTL = timedelta(days=3660)
MAX_NAME_LENGTH = 100
NAMESPACE = re.compile(r"[a-z0-9]([a-z0-9._-]{0,61}[a-z0-9])?")


@dataclass(frozen=True, slots=True)
class Token:
    """What is known of a token. revoked_at, expires_at: None where it never is or does."""

    id: str
    namespace: str
    name: str
    role: str
    hash: str
    created_at: datetime
    created_by: str
    expires_at: datetime | None
    revoked_at: datetime | None

    @property
    def subject(self) -> str:
        return f"token:{self.id}:{self.name}"

    def valid(self, now: datetime) -> bool:
        return self.revoked_at is None and (self.expires_at is None or now < self.expires_at)

    def matches(self, text: str) -> bool:
        return hmac.compare_digest(self.hash, hash_of(text))


def new_secret() -> tuple[str, str]:
    """(id, text) of a token that nobody has."""
    id_ = secrets.token_hex(8)
    return id_, f"flow_{id_}_{secrets.token_urlsafe(32)}"


def id_of(text: str) -> str | None:
    """None for what cannot be a token of ours."""
    found = TOKEN.fullmatch(text)
    return found[1] if found else None


def hash_of(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def check_new(name: str, role: str, ttl: timedelta | None) -> None:
    """Raises InvalidRequest with all that is wrong."""
    problems = []
    if not 1 <= len(name) <= MAX_NAME_LENGTH or not name.isprintable():
        message = f"a name has 1 to {MAX_NAME_LENGTH} printable characters"
        problems.append(Problem("/name", "INVALID_VALUE", message))
    if role not in ROLES:
        problems.append(Problem("/role", "INVALID_VALUE", f"a role is one of {', '.join(ROLES)}"))
    if ttl is not None and not timedelta(0) < ttl <= LONGEST_TTL:
        problems.append(Problem("/ttl", "OUT_OF_RANGE", "a token lives for more than 0 s, 10 years at most"))
    if problems:
        raise InvalidRequest(problems)


def check_namespace(namespace: str) -> None:
    """Raises InvalidRequest."""
    if not NAMESPACE.fullmatch(namespace):
        message = "a namespace has 1 to 63 of a-z 0-9 . _ - and begins and ends with one of a-z 0-9"
        raise InvalidRequest([Problem("/namespace", "INVALID_VALUE", message)])
