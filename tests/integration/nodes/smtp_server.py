"""A small SMTP server that keeps what it is given, and can be told to misbehave."""

from __future__ import annotations

import asyncio
import base64
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.integration.nodes.servers import serve_bytes

TLS = Path(__file__).resolve().parents[2] / "data" / "tls"
CERTIFICATE = TLS / "localhost.crt"


def server_context() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(CERTIFICATE, TLS / "localhost.key")
    return context


@dataclass
class MailBox:
    """What a server has got, and how it behaves."""

    port: int = 0
    answers: dict[str, str] = field(default_factory=dict)  # by the beginning of a command; "" hangs up
    offers: tuple[str, ...] = ()
    injected: bytes = b""  # said in the clear right after the answer to STARTTLS
    commands: list[str] = field(default_factory=list)
    messages: list[bytes] = field(default_factory=list)
    encrypted: bool = False
    asked: asyncio.Event = field(default_factory=asyncio.Event)
    hung_up: asyncio.Event = field(default_factory=asyncio.Event)

    def credentials(self) -> str:
        """What AUTH PLAIN sent, decoded."""
        line = next(line for line in self.commands if line.startswith("AUTH PLAIN "))
        return base64.b64decode(line.split()[2]).decode()

    async def talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            if not await self._say(writer, self.answers.get("greeting", "220 ready")):
                return
            while line := (await reader.readline()).decode().rstrip("\r\n"):
                self.commands.append(line)
                self.asked.set()
                if not await self._answer(line, reader, writer):
                    return
        finally:
            self.hung_up.set()

    async def _answer(self, line: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        told = next((answer for start, answer in self.answers.items() if line.startswith(start)), None)
        if told is not None:
            return await self._say(writer, told)
        match line.split(maxsplit=1)[0].upper():
            case "EHLO":
                lines = ["localhost", *self.offers]
                dashes = ["-"] * (len(lines) - 1) + [" "]
                text = "\r\n".join(f"250{dash}{each}" for dash, each in zip(dashes, lines, strict=True))
                return await self._say(writer, text)
            case "STARTTLS":
                writer.write(b"220 go ahead\r\n" + self.injected)
                await writer.drain()
                await writer.start_tls(server_context())
                self.encrypted = True
                self.offers = tuple(offer for offer in self.offers if offer != "STARTTLS")
                return True
            case "DATA":
                await self._say(writer, "354 go on")
                self.messages.append(await reader.readuntil(b"\r\n.\r\n"))
                return await self._say(writer, self.answers.get("message", "250 taken"))
            case "AUTH":
                return await self._say(writer, "235 welcome")
            case "QUIT":
                await self._say(writer, "221 bye")
                return False
            case _:
                return await self._say(writer, "250 fine")

    async def _say(self, writer: asyncio.StreamWriter, text: str) -> bool:
        if text == "silence":
            return True
        if text:
            writer.write(f"{text}\r\n".encode())
            await writer.drain()
        return bool(text)


@asynccontextmanager
async def serve_smtp(box: MailBox) -> AsyncIterator[MailBox]:
    async with serve_bytes(box.talk) as address:
        box.port = int(address.rpartition(":")[2])
        yield box
