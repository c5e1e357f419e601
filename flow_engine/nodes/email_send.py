from __future__ import annotations

import asyncio
import base64
import re
from collections.abc import Mapping
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import formatdate, getaddresses
from typing import Annotated, Any, ClassVar, Literal

from pydantic import AfterValidator, Field, model_validator

from flow_engine.egress.guard import EGRESS_ERRORS
from flow_engine.nodes.connections import Host, Port, Secret
from flow_engine.nodes.contract import Completed, Effect, NodeConfig, NodeContext, NodeError, NodeType
from flow_engine.nodes.outputs import INTEGER, STRING, list_of, record
from flow_engine.nodes.smtp import Refusal, Server, deliver
from flow_engine.payload import JsonValue

MAX_MESSAGE_BYTES = 10 << 20
_POLICY = SMTP.clone(cte_type="7bit")  # what any server takes


def _address(text: str) -> str:
    """One mailbox, `ada@example.com` or `Ada <ada@example.com>`."""
    match getaddresses([text]):
        case [(_, spec)] if re.fullmatch(r"[!#-;=?A-~]+@[A-Za-z0-9.-]+", spec):
            Address(addr_spec=spec)
            return text
    raise ValueError("this is no address; write ada@example.com or Ada <ada@example.com>")


def _one_line(text: str) -> str:
    if "\r" in text or "\n" in text:
        raise ValueError("this must be one line")
    return text


Mailbox = Annotated[str, Field(max_length=500), AfterValidator(_one_line), AfterValidator(_address)]
Line = Annotated[str, AfterValidator(_one_line)]


class MailServer(NodeConfig):
    host: Host = Field(description="Name of the SMTP server.")
    port: Port = Field(
        default=587, description="Its port; 587 with `starttls`, 465 with `tls`, 25 with `none`."
    )
    security: Literal["starttls", "tls", "none"] = Field(
        default="starttls",
        description="How the connection is encrypted. `none` sends everything in the clear.",
    )
    username: str | None = Field(default=None, description="User name, if the server wants one.")
    password: Secret | None = Field(default=None, description="Password.")


class Attachment(NodeConfig):
    filename: Line = Field(min_length=1, max_length=255, description="Name of the file.")
    content_type: str = Field(
        default="application/octet-stream", pattern=r"^[\w.+-]+/[\w.+-]+$", description="Its media type."
    )
    text: str | None = Field(default=None, description="Content as text.")
    base64: str | None = Field(default=None, description="Content as bytes in base64.")

    @model_validator(mode="after")
    def _has_one_content(self) -> Attachment:
        if (self.text is None) == (self.base64 is None):
            raise ValueError("an attachment needs either `text` or `base64`")
        return self


class EmailSendConfig(NodeConfig):
    server: MailServer = Field(description="The server to hand the message to.")
    sender: Mailbox = Field(alias="from", description="Who sends it: `Ada <ada@example.com>`.")
    to: list[Mailbox] = Field(default_factory=list, max_length=500, description="Who gets it.")
    cc: list[Mailbox] = Field(default_factory=list, max_length=500, description="Who gets a copy.")
    bcc: list[Mailbox] = Field(
        default_factory=list, max_length=500, description="Who gets a copy that nobody sees."
    )
    reply_to: Mailbox | None = Field(default=None, description="Where answers go.")
    subject: Line = Field(max_length=1000, description="Subject.")
    text: str | None = Field(default=None, description="The message as plain text.")
    html: str | None = Field(default=None, description="The message as HTML.")
    attachments: list[Attachment] = Field(
        default_factory=list, max_length=50, description="Files to send along."
    )
    timeout_ms: int = Field(default=30_000, ge=1, le=600_000, description="For each answer of the server.")

    @model_validator(mode="after")
    def _has_somebody_and_something(self) -> EmailSendConfig:
        if not (self.to or self.cc or self.bcc):
            raise ValueError("name somebody in `to`, `cc` or `bcc`")
        if self.text is None and self.html is None:
            raise ValueError("give the message in `text` or `html`")
        return self


class EmailSend(NodeType[EmailSendConfig]):
    """Sends an e-mail by SMTP.

    The output is `{"messageId", "accepted": […], "refused": [{"address", "code", "message"}]}`. It fails if
    the server takes none of the addresses. A message is sent at most once: if the connection breaks before
    the server says whether it has taken it, the step fails with `EMAIL_IN_DOUBT` and is not tried again.
    """

    type = "email.send"
    title = "Send e-mail"
    config_model = EmailSendConfig
    example: ClassVar[dict[str, Any]] = {
        "server": {"host": "smtp.example", "username": "shop", "password": "secret"},
        "from": "Shop <shop@shop.example>",
        "to": ["ada@customer.example"],
        "subject": "Your order",
        "text": "It is on its way.",
    }
    effect = Effect.EXTERNAL
    at_most_once = True
    error_codes: ClassVar[Mapping[str, str]] = {
        "EMAIL_CONNECT": "No connection to the server. Retryable.",
        "EMAIL_TLS": "The server offers no acceptable encryption.",
        "EMAIL_TIMEOUT": "The server did not answer in time, before it had the message. Retryable.",
        "EMAIL_AUTH": "The server does not accept user name and password.",
        "EMAIL_REFUSED": "The server does not take the message or any address. Retryable if it says later.",
        "EMAIL_PROTOCOL": "The server broke off or talked no SMTP, before it had the message. Retryable.",
        "EMAIL_IN_DOUBT": "The server did not say whether it has taken the message.",
        "EMAIL_TOO_LARGE": "The message has more than 10 MiB.",
        **EGRESS_ERRORS,
        "CONFIG_INVALID": "The message cannot be built as it is described.",
    }

    def output_schema(self, config: Mapping[str, Any]) -> Mapping[str, Any]:
        refusal = record(address=STRING, code=INTEGER, message=STRING)
        return record(messageId=STRING, accepted=list_of(STRING), refused=list_of(refusal))

    def typical_ms(self, config: Mapping[str, Any]) -> float:
        return 1000.0

    async def run(self, context: NodeContext, config: EmailSendConfig) -> Completed:
        message, recipients = _message(config, context.step_key), _envelope(config)
        server = Server(
            name=config.server.host,
            address=await _address_of(context, config),
            port=config.server.port,
            security=config.server.security,
            username=config.server.username,
            password=config.server.password,
            timeout_seconds=config.timeout_ms / 1000,
        )
        refusals = await deliver(server, _spec(config.sender), recipients, message.as_bytes())
        return Completed(_output(message, recipients, refusals))


async def _address_of(context: NodeContext, config: EmailSendConfig) -> str:
    host = config.server.host
    try:
        async with asyncio.timeout(config.timeout_ms / 1000):
            return await context.services.address_of(host, config.server.port)
    except (OSError, TimeoutError) as error:
        raise NodeError("EMAIL_CONNECT", f"cannot connect to {host}", retryable=True) from error


# The message


def _message(config: EmailSendConfig, step_key: str) -> EmailMessage:
    """Its Message-ID is the same for every attempt of a step: receivers can tell a repeated message."""
    message = EmailMessage(policy=_POLICY)
    message["From"] = config.sender
    for name, mailboxes in (("To", config.to), ("Cc", config.cc)):
        if mailboxes:
            message[name] = ", ".join(mailboxes)
    if config.reply_to:
        message["Reply-To"] = config.reply_to
    message["Subject"] = config.subject
    message["Date"] = formatdate()
    message["Message-ID"] = f"<{step_key}@{_spec(config.sender).rpartition('@')[2]}>"
    if config.text is not None:
        message.set_content(config.text)
        if config.html is not None:
            message.add_alternative(config.html, subtype="html")
    else:
        message.set_content(config.html, subtype="html")
    for attachment in config.attachments:
        kind, _, subtype = attachment.content_type.partition("/")
        message.add_attachment(
            _content(attachment), maintype=kind, subtype=subtype, filename=attachment.filename
        )
    if len(message.as_bytes()) > MAX_MESSAGE_BYTES:
        raise NodeError("EMAIL_TOO_LARGE", f"the message has more than {MAX_MESSAGE_BYTES:,} bytes")
    return message


def _content(attachment: Attachment) -> bytes:
    if attachment.base64 is None:
        return (attachment.text or "").encode()
    try:
        return base64.b64decode(attachment.base64, validate=True)
    except ValueError as error:
        raise NodeError("CONFIG_INVALID", f"attachment {attachment.filename!r} is no base64") from error


def _envelope(config: EmailSendConfig) -> list[str]:
    """Everybody who gets it, each once."""
    return list(dict.fromkeys(_spec(mailbox) for mailbox in (*config.to, *config.cc, *config.bcc)))


def _spec(mailbox: str) -> str:
    [(_, spec)] = getaddresses([mailbox])
    return spec


def _output(message: EmailMessage, recipients: list[str], refusals: list[Refusal]) -> dict[str, JsonValue]:
    refused = {refusal.address: refusal.reply for refusal in refusals}
    return {
        "messageId": str(message["Message-ID"]),
        "accepted": [address for address in recipients if address not in refused],
        "refused": [
            {"address": address, "code": reply.code, "message": reply.text}
            for address, reply in refused.items()
        ],
    }
