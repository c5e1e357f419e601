"""Tokens of callback URLs."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flow_engine.callbacks import Callbacks, execution_key, hidden, read, token
from flow_engine.ids import new_execution_id

SECRET = b"s" * 32
ID = new_execution_id()
KEY = execution_key(SECRET, ID)


@given(st.text(min_size=1, max_size=128), st.lists(st.integers(0, 10_000), max_size=4))
def test_a_token_says_whose_it_is_and_that_we_made_it(node_id: str, iteration: list[int]) -> None:
    node_id = node_id.encode("utf-8", "replace").decode()
    text = token(KEY, ID, node_id, tuple(iteration))
    said = read(text)
    assert said is not None
    assert (said.execution_id, said.node_id, said.iteration) == (ID, node_id, tuple(iteration))
    assert said.proven(KEY)


def test_every_other_text_proves_nothing() -> None:
    text = token(KEY, ID, "cb", (2, 0))
    others = [text[:-1], text + "A", text.swapcase(), token(KEY, ID, "cb", (2, 1)), *(
        text[:n] + ("A" if text[n] != "A" else "B") + text[n + 1 :] for n in range(len(text))
    )]  # fmt: skip
    for other in others:
        said = read(other)
        proven = said is not None and said.proven(execution_key(SECRET, said.execution_id))
        assert proven == (other == token(KEY, ID, "cb", (2, 1)))


def test_one_execution_s_key_makes_no_token_of_another() -> None:
    forged = read(token(KEY, other := new_execution_id(), "cb", ()))
    assert forged is not None
    assert not forged.proven(execution_key(SECRET, other))


@pytest.mark.parametrize("text", ["", "a", "é" * 40, "A" * 5000, "!!!!", "A" * 64])
def test_what_cannot_be_a_token_is_none(text: str) -> None:
    assert read(text) is None


def test_histories_do_not_show_tokens() -> None:
    url = Callbacks("https://flow.example/cb/", ID, KEY).url("cb", ())
    shown = hidden({"body": [f"answer at {url}?x=1", 3, None]}, "https://flow.example/cb/")
    assert shown == {"body": ["answer at https://flow.example/cb/…?x=1", 3, None]}
