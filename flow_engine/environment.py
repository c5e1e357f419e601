"""Reads a service's settings from the environment: every wrong variable is named at once."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from ipaddress import ip_address
from pathlib import Path
from typing import TypeVar
from urllib.parse import urlsplit

T = TypeVar("T")

EXIT_CONFIGURATION = 78
"""Exit code of a process that its settings or surroundings keep from starting (EX_CONFIG)."""

REDIS_URL_FILE = "run/redis.url"
"""Below the data folder: where the embedded server of `flow up` leaves its address."""


class WrongSettings(Exception):
    """What keeps a service from starting, one line a problem."""


class EnvironmentReader:
    """Reads variables one by one and remembers what is wrong with them."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._environment = environment
        self.problems: list[str] = []

    def __call__(self, name: str, parse: Callable[[str], T], default: T) -> T:
        text = self._environment.get(name, "").strip()
        if not text:
            return default
        try:
            return parse(text)
        except ValueError as error:
            self.problems.append(f"{name}: {text!r} {error}")
            return default

    def redis_url(self, data_dir: Path) -> str:
        """REDIS_URL, or the address that the embedded server of `flow up` leaves while it runs."""
        url = self("REDIS_URL", redis_url, "")
        url_file = data_dir / REDIS_URL_FILE
        if url or any(problem.startswith("REDIS_URL") for problem in self.problems):
            return url
        try:
            return url_file.read_text().strip()
        except OSError:
            self.problems.append(
                f"REDIS_URL: not set, and no embedded server runs here ({url_file} is absent); "
                "set REDIS_URL, or start everything with `flow up`"
            )
            return ""

    def refuse_if_wrong(self) -> None:
        """Raises WrongSettings when any variable was wrong."""
        if self.problems:
            raise WrongSettings("\n".join(dict.fromkeys(self.problems)))


def address(text: str) -> tuple[str, int]:
    """host:port; an IPv6 host in brackets."""
    host, colon, port = text.rpartition(":")
    if not colon or not host or not port.isascii() or not port.isdigit() or int(port) > 65535:
        raise ValueError("is not of the form host:port")
    return host.removeprefix("[").removesuffix("]"), int(port)


def joined(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def connectable(host: str) -> str:
    """Where a client on this machine finds it: a wildcard stands for loopback."""
    return {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 - compared with, not bound


def loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def database_url(text: str) -> str:
    if urlsplit(text).scheme not in ("postgresql", "postgres", "sqlite"):
        raise ValueError("is not of the form postgresql://… or sqlite:///…")
    return text


def redis_url(text: str) -> str:
    if urlsplit(text).scheme not in ("redis", "rediss", "unix"):
        raise ValueError("is not of the form redis://…")
    return text


def switch(text: str) -> bool:
    lowered = text.lower()
    if lowered not in ("0", "1", "false", "true", "no", "yes", "off", "on"):
        raise ValueError("is neither 1 nor 0")
    return lowered in ("1", "true", "yes", "on")


def log_level(text: str) -> str:
    if text.lower() not in ("debug", "info", "warning", "error"):
        raise ValueError("is none of debug, info, warning, error")
    return text.lower()


def whole(least: int, most: int) -> Callable[[str], int]:
    def parse(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            raise ValueError("is not a whole number") from None
        return within(value, least, most)

    return parse


def number(least: float, most: float) -> Callable[[str], float]:
    def parse(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            raise ValueError("is not a number") from None
        return within(value, least, most)

    return parse


Number = TypeVar("Number", int, float)


def within(value: Number, least: Number, most: Number) -> Number:
    if not least <= value <= most:
        raise ValueError(f"is not between {least:g} and {most:g}")
    return value
