"""email.send against a real SMTP server, well-behaved and not."""

from __future__ import annotations

import asyncio
import email
import email.policy
from typing import Any

import pytest
from pydantic import ValidationError

from flow_engine.interpreter.events import Failure
from flow_engine.nodes.services import SharedServices
from tests.infra.egress import LOOPBACK_GUARD
from tests.infra.ports import free_port
from tests.integration.nodes.servers import serve_bytes
from tests.integration.nodes.smtp_server import CERTIFICATE, MailBox, serve_smtp
from tests.unit.nodes import contexts

NEAR = SharedServices(LOOPBACK_GUARD)

LETTER = {
    "from": "Shop <shop@shop.example>",
    "to": ["Ada Lovelace <ada@customer.example>"],
    "subject": "Grüße",
    "text": "Hello\n.\nthis line began with a dot: no\n.dot\n",
}


def raw(port: int, *, security: str = "none", **changes: Any) -> dict[str, Any]:
    server = {"host": "localhost", "port": port, "security": security, **changes.pop("server", {})}
    return {**LETTER, "server": server, **changes}


async def send(port: int, **changes: Any) -> Any:
    return (await contexts.completed("email.send", raw(port, **changes), services=NEAR, step_key="k1")).output


async def failure(box: MailBox, **changes: Any) -> Failure:
    async with serve_smtp(box):
        return (await contexts.failed("email.send", raw(box.port, **changes), services=NEAR)).failure


async def test_a_message_arrives_as_it_was_written() -> None:
    async with serve_smtp(MailBox()) as box:
        output = await send(
            box.port,
            html="<p>Hello</p>",
            bcc=["boss@shop.example", "ada@customer.example"],
            replyTo="help@shop.example",
            attachments=[{"filename": "a.txt", "text": "ä", "contentType": "text/plain"}],
        )
    assert output == {
        "messageId": "<k1@shop.example>",
        "accepted": ["ada@customer.example", "boss@shop.example"],
        "refused": [],
    }
    assert "MAIL FROM:<shop@shop.example>" in box.commands
    assert box.commands.count("RCPT TO:<ada@customer.example>") == 1
    [data] = box.messages
    assert data.isascii()
    message = email.message_from_bytes(data.replace(b"\r\n..", b"\r\n."), policy=email.policy.default)
    assert message["Subject"] == "Grüße"
    assert message["Message-ID"] == "<k1@shop.example>"
    assert message["Bcc"] is None
    assert message["Reply-To"] == "help@shop.example"
    body = message.get_body(("plain",))
    assert body is not None
    assert body.get_content().replace("\r\n", "\n") == LETTER["text"]
    assert [part.get_filename() for part in message.iter_attachments()] == ["a.txt"]


async def test_recipients_that_are_refused_are_told() -> None:
    box = MailBox(answers={"RCPT TO:<nobody": "550 no such user"})
    async with serve_smtp(box):
        output = await send(box.port, cc=["nobody@customer.example"])
    assert output["accepted"] == ["ada@customer.example"]
    assert output["refused"] == [
        {"address": "nobody@customer.example", "code": 550, "message": "no such user"}
    ]


@pytest.mark.parametrize(
    ("answers", "code", "retryable"),
    [
        ({"RCPT": "550 no such user"}, "EMAIL_REFUSED", False),
        ({"RCPT": "451 come back later"}, "EMAIL_REFUSED", True),
        ({"MAIL": "552 too large"}, "EMAIL_REFUSED", False),
        ({"message": "554 spam"}, "EMAIL_REFUSED", False),
        ({"greeting": "421 busy"}, "EMAIL_REFUSED", True),
        ({"greeting": "HTTP/1.1 400 Bad Request"}, "EMAIL_PROTOCOL", True),
        ({"greeting": "220-" + "x" * 5000}, "EMAIL_PROTOCOL", True),
        ({"greeting": ""}, "EMAIL_PROTOCOL", True),
        ({"RCPT": ""}, "EMAIL_PROTOCOL", True),
        ({"MAIL": "silence"}, "EMAIL_TIMEOUT", True),
        ({"message": "silence"}, "EMAIL_IN_DOUBT", False),
        ({"message": ""}, "EMAIL_IN_DOUBT", False),
    ],
)
async def test_what_the_server_says_decides_how_it_fails(
    answers: dict[str, str], code: str, retryable: bool
) -> None:
    failed = await failure(MailBox(answers=answers), timeoutMs=200)
    assert (failed.code, failed.retryable) == (code, retryable)


async def test_a_refused_connection_is_retryable() -> None:
    failed = (await contexts.failed("email.send", raw(free_port()), services=NEAR)).failure
    assert (failed.code, failed.retryable) == ("EMAIL_CONNECT", True)


async def test_an_endless_reply_fails() -> None:
    async def drone(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            writer.write(b"220-on and on\r\n" * 100)
            await writer.drain()

    async with serve_bytes(drone) as address:
        failed = (
            await contexts.failed("email.send", raw(int(address.rpartition(":")[2])), services=NEAR)
        ).failure
    assert failed.code == "EMAIL_PROTOCOL"


async def test_cancelling_hangs_up() -> None:
    async with serve_smtp(MailBox(answers={"MAIL": "silence"})) as box:
        running = asyncio.create_task(send(box.port))
        while not any(line.startswith("MAIL") for line in box.commands):
            box.asked.clear()
            await box.asked.wait()
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
        await asyncio.wait_for(box.hung_up.wait(), 5)


# Encryption and login

LOGIN = {"username": "shop", "password": "pässword"}


async def test_credentials_travel_encrypted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(CERTIFICATE))
    box = MailBox(offers=("STARTTLS", "AUTH LOGIN PLAIN"))
    async with serve_smtp(box):
        await send(box.port, security="starttls", server=LOGIN)
    assert box.encrypted
    assert box.commands.index("STARTTLS") < next(n for n, line in enumerate(box.commands) if "AUTH" in line)
    assert box.credentials() == "\0shop\0pässword"


async def test_a_certificate_that_nobody_vouches_for_is_refused() -> None:
    failed = await failure(MailBox(offers=("STARTTLS",)), security="starttls")
    assert (failed.code, failed.retryable) == ("EMAIL_TLS", False)


async def test_a_server_without_encryption_gets_nothing() -> None:
    box = MailBox(offers=("AUTH PLAIN",))
    failed = await failure(box, security="starttls", server=LOGIN)
    assert failed.code == "EMAIL_TLS"
    assert not any("AUTH" in line for line in box.commands)


async def test_words_slipped_in_before_the_encryption_are_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(CERTIFICATE))
    box = MailBox(offers=("STARTTLS",), injected=b"250-localhost\r\n250 AUTH PLAIN\r\n")
    failed = await failure(box, security="starttls", server=LOGIN)
    assert (failed.code, failed.message) == ("EMAIL_TLS", "the server goes on talking in the clear")


async def test_a_wrong_password_fails_for_good() -> None:
    box = MailBox(offers=("AUTH PLAIN",), answers={"AUTH": "535 wrong"})
    failed = await failure(box, server=LOGIN)
    assert (failed.code, failed.retryable) == ("EMAIL_AUTH", False)
    assert "pässword" not in str(failed)


@pytest.mark.parametrize(
    "changes",
    [
        {"to": []},
        {"to": ["ada"]},
        {"to": ["ada@customer.example, eve@customer.example"]},
        {"to": ["ada@customer.example\r\nBcc: eve@customer.example"]},
        {"to": ["<ada@customer.example> SIZE=1"]},
        {"to": ["ä@customer.example"]},
        {"subject": "a\nBcc: eve@customer.example"},
        {"text": None},
        {"attachments": [{"filename": "a"}]},
        {"attachments": [{"filename": "a\r\nX: y", "text": ""}]},
        {"server": {"host": "a b"}},
    ],
)
def test_impossible_messages_are_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        contexts.config("email.send", {**raw(25), **changes})


async def test_an_attachment_that_is_no_base64_fails() -> None:
    wrong = raw(free_port(), attachments=[{"filename": "a", "base64": "?"}])
    assert (await contexts.failed("email.send", wrong)).failure.code == "CONFIG_INVALID"
