"""Handing one message to an SMTP server (RFC 5321, 3207, 4954), without blocking and without threads."""

from __future__ import annotations

import asyncio
import base64
import re
import ssl
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Literal, NamedTuple

from flow_engine.nodes.contract import NodeError

MAX_LINE = 2048
MAX_REPLY_LINES = 200
LONGEST_TOLD = 300
Security = Literal["starttls", "tls", "none"]


class Reply(NamedTuple):
    code: int
    text: str

    @property
    def ok(self) -> bool:
        return 200 <= self.code < 400


class Refusal(NamedTuple):
    """A recipient that the server does not take."""

    address: str
    reply: Reply


@dataclass(frozen=True, slots=True)
class Server:
    name: str  # what its certificate must say
    address: str  # where to connect
    port: int
    security: Security
    username: str | None
    password: str | None
    timeout_seconds: float  # for each reply


async def deliver(server: Server, sender: str, recipients: Sequence[str], message: bytes) -> list[Refusal]:
    """Hand a message over, its lines ending in CRLF. Returns the recipients that the server refused.

    Raises NodeError with an EMAIL_ code: EMAIL_IN_DOUBT once the server has the whole message and does not
    answer.
    """
    async with _talk(server) as talk:
        await talk.begin()
        await talk.must("EMAIL_REFUSED", f"MAIL FROM:<{sender}>")
        replies = [(address, await talk.ask(f"RCPT TO:<{address}>")) for address in recipients]
        refusals = [Refusal(address, reply) for address, reply in replies if not reply.ok]
        if len(refusals) == len(recipients):
            raise _refused("EMAIL_REFUSED", "the server takes none of the addresses", refusals[0].reply)
        await talk.must("EMAIL_REFUSED", "DATA")
        await talk.hand_over(message)
        return refusals


@asynccontextmanager
async def _talk(server: Server) -> AsyncIterator[_Talk]:
    context = ssl.create_default_context() if server.security == "tls" else None
    try:
        async with asyncio.timeout(server.timeout_seconds):
            reader, writer = await asyncio.open_connection(
                server.address,
                server.port,
                ssl=context,
                server_hostname=server.name if context else None,
                limit=MAX_LINE,
            )
    except ssl.SSLError as error:
        raise _no_tls(error) from error
    except TimeoutError as error:
        raise NodeError("EMAIL_CONNECT", "no connection in time", retryable=True) from error
    except OSError as error:
        raise NodeError("EMAIL_CONNECT", f"cannot connect to {server.name}", retryable=True) from error
    try:
        yield _Talk(server, reader, writer)
    finally:
        writer.close()  # whoever is polite says QUIT; who is cancelled has no time to


class _Talk:
    def __init__(self, server: Server, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._server = server
        self._reader = reader
        self._writer = writer
        self._offers: dict[str, str] = {}
        self._has_it_all = False

    async def begin(self) -> None:
        """Greeting, encryption, login."""
        if not (greeting := await self._reply()).ok:
            raise _refused("EMAIL_REFUSED", "the server does not talk to us", greeting)
        await self._hello()
        if self._server.security == "starttls":
            await self._encrypt()
            await self._hello()
        if self._server.username is not None:
            await self._log_in(self._server.username, self._server.password or "")

    async def ask(self, line: str) -> Reply:
        self._writer.write(f"{line}\r\n".encode("ascii"))
        return await self._reply()

    async def must(self, code: str, line: str) -> Reply:
        reply = await self.ask(line)
        if not reply.ok:
            raise _refused(code, "the server refuses", reply)
        return reply

    async def hand_over(self, message: bytes) -> None:
        """The message itself; a line of a single dot ends it."""
        stuffed = re.sub(rb"(?m)^\.", b"..", message)
        self._writer.write(stuffed if stuffed.endswith(b"\r\n") else stuffed + b"\r\n")
        async with self._guarded():
            await self._writer.drain()
        self._has_it_all = True
        reply = await self.ask(".")
        self._has_it_all = False
        if not reply.ok:
            raise _refused("EMAIL_REFUSED", "the server does not take the message", reply)
        self._writer.write(b"QUIT\r\n")

    async def _hello(self) -> None:
        reply = await self.must("EMAIL_PROTOCOL", "EHLO [127.0.0.1]")
        offers = (line.partition(" ") for line in reply.text.upper().split("\n")[1:])
        self._offers = {name: options for name, _, options in offers}

    async def _encrypt(self) -> None:
        if "STARTTLS" not in self._offers:
            raise NodeError("EMAIL_TLS", "the server offers no STARTTLS")
        await self.must("EMAIL_TLS", "STARTTLS")
        if self._reader._buffer:  # type: ignore[attr-defined]
            # Said before the encryption began, so said by anybody: it must not count as said within.
            raise NodeError("EMAIL_TLS", "the server goes on talking in the clear")
        async with self._guarded():
            await self._writer.start_tls(ssl.create_default_context(), server_hostname=self._server.name)

    async def _log_in(self, username: str, password: str) -> None:
        ways = self._offers.get("AUTH", "").split()
        if "PLAIN" in ways:
            credentials = _base64(f"\0{username}\0{password}")
            await self.must("EMAIL_AUTH", f"AUTH PLAIN {credentials}")
        elif "LOGIN" in ways:
            await self.must("EMAIL_AUTH", "AUTH LOGIN")
            await self.must("EMAIL_AUTH", _base64(username))
            await self.must("EMAIL_AUTH", _base64(password))
        else:
            raise NodeError("EMAIL_AUTH", "the server offers no login by user name and password")

    async def _reply(self) -> Reply:
        lines = []
        for _ in range(MAX_REPLY_LINES):
            line = await self._line()
            if not re.match(rb"\d{3}([ -]|$)", line):
                raise self._broken("EMAIL_PROTOCOL", "what the server says is no SMTP")
            lines.append(line[4:].decode(errors="replace"))
            if line[3:4] != b"-":
                return Reply(int(line[:3]), "\n".join(lines))
        raise self._broken("EMAIL_PROTOCOL", "the server does not come to an end")

    async def _line(self) -> bytes:
        async with self._guarded():
            line = await self._reader.readline()
        if not line.endswith(b"\n"):
            raise self._broken("EMAIL_PROTOCOL", "the server hung up")
        return line.rstrip(b"\r\n")

    @asynccontextmanager
    async def _guarded(self) -> AsyncIterator[None]:
        """Bounds the time of what is inside, and turns its errors into ours."""
        try:
            async with asyncio.timeout(self._server.timeout_seconds):
                yield
        except ssl.SSLError as error:
            raise _no_tls(error) from error
        except TimeoutError as error:
            raise self._broken("EMAIL_TIMEOUT", "the server does not answer in time") from error
        except OSError as error:
            raise self._broken("EMAIL_PROTOCOL", "the connection broke off") from error
        except ValueError as error:  # of readline: the line is too long
            raise self._broken("EMAIL_PROTOCOL", "what the server says is no SMTP") from error

    def _broken(self, code: str, what: str) -> NodeError:
        if self._has_it_all:
            return NodeError("EMAIL_IN_DOUBT", f"{what}; it has the message and may have sent it")
        return NodeError(code, what, retryable=True)


def _refused(code: str, what: str, reply: Reply) -> NodeError:
    """4xx asks to come back later (RFC 5321, 4.2.1)."""
    text = reply.text[:LONGEST_TOLD]
    later = 400 <= reply.code < 500 and code == "EMAIL_REFUSED"
    return NodeError(code, f"{what}: {reply.code} {text}", retryable=later, reply=reply.code)


def _no_tls(error: ssl.SSLError) -> NodeError:
    reason = (
        error.verify_message if isinstance(error, ssl.SSLCertVerificationError) else "the handshake failed"
    )
    return NodeError("EMAIL_TLS", f"no secure connection: {reason}")


def _base64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()
