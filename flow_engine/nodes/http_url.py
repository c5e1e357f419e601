"""URLs that nodes may fetch."""

from __future__ import annotations

import httpx


def fetchable(url: str) -> str:
    """The URL, if it is an http or https URL without credentials. Raises ValueError."""
    try:
        parsed = httpx.URL(url)
    except httpx.InvalidURL as error:
        raise ValueError("this is no URL") from error
    if parsed.scheme not in ("http", "https") or not parsed.host:
        raise ValueError("the URL must begin with http:// or https:// and name a host")
    if parsed.userinfo:
        raise ValueError("credentials do not belong into the URL")
    return url
