"""Names to addresses, so that slow name servers hold up nobody but those who asked them."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Awaitable, Callable
from contextlib import suppress

Resolve = Callable[[str, int], Awaitable[list[str]]]
"""Host and port to addresses, best first, at least one. Raises OSError."""

MOST_AT_ONCE = 32
_slots = threading.BoundedSemaphore(MOST_AT_ONCE)


async def resolve(host: str, port: int) -> list[str]:
    """As the system resolves it, hosts file and search domains included. Raises OSError."""
    with suppress(socket.gaierror):  # an address, in any of its spellings
        return _looked_up(host, port, socket.AI_NUMERICHOST)
    loop = asyncio.get_running_loop()
    answer: asyncio.Future[list[str]] = loop.create_future()
    if not _slots.acquire(blocking=False):
        raise OSError("too many names are being looked up")

    def tell(found: list[str] | None, error: OSError | None) -> None:
        if answer.done():  # nobody waits any more
            return
        if error is not None:
            answer.set_exception(error)
        else:
            answer.set_result(found or [])

    def look() -> None:
        found, error = None, None
        try:
            found = _looked_up(host, port, 0)
        except OSError as raised:
            error = raised
        finally:
            _slots.release()
        with suppress(RuntimeError):  # the loop may be closed by now
            loop.call_soon_threadsafe(tell, found, error)

    # A thread of its own: those of the pools are few, shared, and waited for when a process ends.
    threading.Thread(target=look, name="egress-dns", daemon=True).start()
    return await answer


def _looked_up(host: str, port: int, flags: int) -> list[str]:
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=flags)
    except ValueError as error:  # a name that cannot be one: NUL, labels that are too long
        raise socket.gaierror(socket.EAI_NONAME, "this is no host name") from error
    return list(dict.fromkeys(str(sockaddr[0]) for *_, sockaddr in found))
