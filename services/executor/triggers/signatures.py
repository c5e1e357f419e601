"""Signatures of webhook deliveries, by the Standard Webhooks specification.

`webhook-signature` holds one or more `v1,<base64>`, the HMAC-SHA256 of
`{webhook-id}.{webhook-timestamp}.{body}`.
Source: https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import os
from datetime import datetime

from flow_engine.errors import InvalidRequest, Problem, SignatureRefused

PREFIX = "whsec_"
SECRET_BYTES = 32
TOLERANCE_SECONDS = 300
"""How far a delivery's time may be from ours; ids are remembered for longer."""
MOST_SIGNATURES = 16
MOST_ID_LENGTH = 128


def new_secret() -> str:
    return PREFIX + base64.b64encode(os.urandom(SECRET_BYTES)).decode()


def key_of(secret: str) -> bytes:
    """Raises InvalidRequest, which does not tell it."""
    try:
        key = base64.b64decode(secret.removeprefix(PREFIX), validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if not secret.startswith(PREFIX) or not 24 <= len(key) <= 64:
        message = f"a secret is {PREFIX} and 24 to 64 bytes in base64"
        raise InvalidRequest([Problem("/secret", "INVALID_VALUE", message)])
    return key


def sign(secret: str, delivery_id: str, timestamp: str, body: bytes) -> str:
    signed = delivery_id.encode() + b"." + timestamp.encode() + b"." + body
    digest = hmac.new(key_of(secret), signed, hashlib.sha256).digest()
    return "v1," + base64.b64encode(digest).decode()


def check(secret: str, delivery_id: str, timestamp: str, signature: str, body: bytes, now: datetime) -> None:
    """Raises SignatureRefused. To compare signatures takes the same time, whatever they are."""
    if not (delivery_id and timestamp and signature):
        raise SignatureRefused("the headers webhook-id, webhook-timestamp and webhook-signature are needed")
    if not (timestamp.isascii() and timestamp.isdecimal() and len(timestamp) <= 12):
        raise SignatureRefused("webhook-timestamp is not a number of seconds since 1970")
    if abs(int(timestamp) - now.timestamp()) > TOLERANCE_SECONDS:
        raise SignatureRefused(f"webhook-timestamp is more than {TOLERANCE_SECONDS} s from now")
    expected = sign(secret, delivery_id, timestamp, body).encode()
    given = [part.encode() for part in signature.split(" ")[:MOST_SIGNATURES]]
    if not any(hmac.compare_digest(expected, part) for part in given):
        raise SignatureRefused("no signature in webhook-signature is of this webhook's secret")
