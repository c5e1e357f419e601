"""Deliveries that are what they claim to be, and those that are not."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from flow_engine.errors import InvalidRequest, SignatureRefused
from services.executor.triggers.signatures import check, key_of, new_secret, sign

NOW = datetime(2026, 1, 31, 12, tzinfo=UTC)
AT = str(int(NOW.timestamp()))
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
BODY = b'{"test": 2432232314}'


def test_the_example_of_the_specification_is_signed_as_it_says() -> None:
    signature = sign(SECRET, "msg_p5jXN8AQM9LWM0D4loKWxJek", "1614265330", BODY)
    assert signature == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


@pytest.mark.parametrize("offset", [-300, 0, 300])
def test_a_signature_holds_within_five_minutes_and_beside_others(offset: int) -> None:
    at = str(int(AT) + offset)
    signature = f"v1a,xx v1,AAAA {sign(new_secret(), 'd', at, BODY)} {sign(SECRET, 'd', at, BODY)}"
    check(SECRET, "d", at, signature, BODY, NOW)


GOOD = ("d", AT, sign(SECRET, "d", AT, BODY), BODY)


@pytest.mark.parametrize(
    "delivery",
    [
        ("", *GOOD[1:]),
        ("d", "", *GOOD[2:]),
        ("d", AT, "", BODY),
        ("e", *GOOD[1:]),
        (*GOOD[:3], BODY + b" "),
        ("d", AT, sign(new_secret(), "d", AT, BODY), BODY),
        ("d", AT, sign(SECRET, "d", AT, BODY).removeprefix("v1,"), BODY),
        ("d", AT, sign(SECRET, "d", AT, BODY).lower(), BODY),
        ("d", AT, "v1,ü", BODY),
        ("d", str(int(AT) - 301), sign(SECRET, "d", str(int(AT) - 301), BODY), BODY),
        ("d", str(int(AT) + 301), sign(SECRET, "d", str(int(AT) + 301), BODY), BODY),
        ("d", AT + ".0", sign(SECRET, "d", AT + ".0", BODY), BODY),
        ("d", "٣", sign(SECRET, "d", "٣", BODY), BODY),
        ("d", "9" * 400, sign(SECRET, "d", "9" * 400, BODY), BODY),
        ("d", AT, " ".join(["v1,x"] * 16 + [GOOD[2]]), BODY),
    ],
)
def test_what_is_not_signed_so_is_refused(delivery: tuple[str, str, str, bytes]) -> None:
    with pytest.raises(SignatureRefused):
        check(SECRET, *delivery, NOW)


@pytest.mark.parametrize("secret", ["", "whsec_", "whsec_AAAA", "hushhush", "whsec_" + "A" * 200, "whsec_ü"])
def test_a_secret_of_another_form_is_refused_and_not_told(secret: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        key_of(secret)
    assert str(refused.value) == "/secret: a secret is whsec_ and 24 to 64 bytes in base64"
