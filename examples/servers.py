"""Stands in for the outside world, so that the examples run offline: an SMTP server and a language model.

    python examples/servers.py          # SMTP on 127.0.0.1:2525, a model at http://127.0.0.1:8090/v1

The model is none: it answers by rules, in the format of OpenAI's API, and so always the same.
"""

from __future__ import annotations

import asyncio
import json
import re
import sys
from collections.abc import Callable
from typing import Any

REFUSED = "refused.example"


async def receive_mail(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """One SMTP session. Takes every message, but none for addresses at `refused.example`."""

    def say(line: str) -> None:
        writer.write(f"{line}\r\n".encode())

    say("220 mail.example")
    while line := (await reader.readline()).decode(errors="replace").strip():
        match line.upper().split():
            case ["EHLO" | "HELO", *_]:
                say("250 mail.example")
            case ["RCPT", *_] if REFUSED in line:
                say("550 no such user here")
            case ["DATA"]:
                say("354 go on")
                message = await reader.readuntil(b"\r\n.\r\n")
                subject = re.search(rb"^Subject: (.*)\r$", message, re.MULTILINE)
                print("mail:", subject[1].decode() if subject else "", flush=True)
                say("250 taken")
            case ["QUIT"]:
                say("221 bye")
                break
            case _:
                say("250 ok")
        await writer.drain()
    writer.close()


def understood(text: str) -> dict[str, Any]:
    """What the rules read in a customer's message."""
    order = re.search(r"\b[A-Z]-\d+\b", text)
    topics = {"delivery": r"deliver|parcel|arriv", "invoice": r"invoice|bill|paid"}
    topic = next((name for name, words in topics.items() if re.search(words, text, re.IGNORECASE)), "other")
    urgent = bool(re.search(r"urgent|at once|immediately", text, re.IGNORECASE))
    return {"topic": topic, "orderId": order[0] if order else None, "urgent": urgent}


def answered(request: dict[str, Any]) -> str:
    """The model's words: JSON where a schema is asked for, else a sentence."""
    text = str(request["messages"][-1]["content"])
    if "response_format" in request:
        return json.dumps(understood(text))
    about = understood(text)
    return f"We look after your {about['topic']} {about['orderId'] or ''} today.".replace("  ", " ")


async def answer_chat(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """One HTTP request: POST /v1/chat/completions."""
    head = (await reader.readuntil(b"\r\n\r\n")).decode()
    length = re.search(r"^content-length: *(\d+)", head, re.MULTILINE | re.IGNORECASE)
    request = json.loads(await reader.readexactly(int(length[1]) if length else 0))
    message = {"role": "assistant", "content": answered(request)}
    answer = {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "model": request["model"],
        "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 100, "completion_tokens": 20, "total_tokens": 120},
    }
    body = json.dumps(answer).encode()
    told = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n"
    writer.write(told.encode() + b"Connection: close\r\n\r\n" + body)
    await writer.drain()
    writer.close()


async def serve(handler: Callable[..., Any], port: int) -> asyncio.Server:
    return await asyncio.start_server(handler, "127.0.0.1", port)


async def main(mail_port: int = 2525, model_port: int = 8090) -> None:
    mail, model = await serve(receive_mail, mail_port), await serve(answer_chat, model_port)
    mail_at, model_at = (server.sockets[0].getsockname()[1] for server in (mail, model))
    print(f"ready mail=127.0.0.1:{mail_at} model=http://127.0.0.1:{model_at}/v1", flush=True)
    await asyncio.gather(mail.serve_forever(), model.serve_forever())


if __name__ == "__main__":
    asyncio.run(main(*map(int, sys.argv[1:])))
