"""What a secret looks like when others give it back."""

from __future__ import annotations

import base64
import json
from urllib.parse import quote, quote_plus

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flow_engine.secrets.redaction import HIDDEN, KnownSecrets, Redactor

VALUE = 'p/4$s=w+ör"d\n&x y'

texts = st.text(st.characters(codec="utf-8"), max_size=12)
secrets = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=4, max_size=40)


@pytest.mark.parametrize(
    "told",
    [
        VALUE,
        json.dumps({"echo": VALUE}),
        json.dumps({"echo": VALUE}, ensure_ascii=False),
        quote(VALUE, safe=""),
        quote(VALUE),
        quote_plus(VALUE),
        quote(VALUE, safe="").lower(),
        str(httpx.URL("http://a.example", params={"key": VALUE})),
        VALUE.encode().hex(),
        base64.b64encode(VALUE.encode()).decode(),
        base64.b64encode(f"user:{VALUE}".encode()).decode(),
        base64.b64encode(f"{VALUE}, or so".encode()).decode(),
        base64.urlsafe_b64encode(f"ab{VALUE}".encode()).decode(),
        base64.urlsafe_b64encode(f"a{VALUE}".encode()).decode().rstrip("="),
    ],
)
def test_every_spelling_is_taken_out(told: str) -> None:
    redactor = Redactor([VALUE])
    assert redactor.finds(told)
    assert not redactor.finds(redactor.text(told))
    assert HIDDEN in redactor.text(f"before {told} behind")


@given(secrets, texts, texts)
def test_base64_of_any_alignment_tells_nothing(value: str, before: str, behind: str) -> None:
    encoded = base64.b64encode((before + value + behind).encode()).decode()
    left = Redactor([value]).text(encoded)
    assert len(left) < len(encoded) or len(value.encode()) < 6  # of so few bytes little is whole characters
    assert value not in left


@given(secrets, texts, texts)
def test_nothing_is_left_of_a_plain_secret(value: str, before: str, behind: str) -> None:
    assert value not in Redactor([value]).text(before + value + behind).replace(HIDDEN, "")


def test_values_are_walked_keys_too_and_the_rest_is_as_it_was() -> None:
    given = {"a": ["s3cret!", 7, None, {"s3cret!": True}], "b": "x s3cret! y"}
    assert Redactor(["s3cret!"]).value(given) == {"a": ["***", 7, None, {"***": True}], "b": "x *** y"}
    assert Redactor([]).text("nothing to hide") == "nothing to hide"


def test_of_two_secrets_the_longer_goes_first() -> None:
    assert Redactor(["abcd", "abcdef"]).text("abcdef abcd") == "*** ***"


def test_a_process_keeps_the_latest_secrets_in_mind() -> None:
    known = KnownSecrets()
    assert known.text("first secret") == "first secret"
    known.remember(["first secret"])
    assert known.text("the first secret") == "the ***"
    known.remember(f"secret number {n}" for n in range(1000))
    assert known.text("first secret") == "first secret"
