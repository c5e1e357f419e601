"""What takes bytes or text from outside, thrown at with everything: each target may refuse, in its own words.

`python -m tests.security.fuzzing` does it for a minute with other seeds each time; the tests a little of it.
"""

from __future__ import annotations

import argparse
import faulthandler
import importlib
import json
import random
import string
import sys
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from google.protobuf.descriptor import Descriptor
from google.protobuf.message import DecodeError, Message
from google.protobuf.message_factory import GetMessageClass
from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st

from flow_engine import callbacks
from flow_engine.egress.guard import EgressGuard
from flow_engine.egress.rules import opened
from flow_engine.errors import FlowEngineError
from flow_engine.expressions import (
    EvaluationError,
    ExpressionSyntaxError,
    TemplateErrors,
    compile_expression,
    compile_template,
)
from flow_engine.nodes.registry import built_in_registry
from flow_engine.nodes.untrusted_json import InvalidJson
from flow_engine.nodes.untrusted_json import parse_json as parse_answer
from flow_engine.secrets.redaction import Redactor
from flow_engine.workflow.parsing import parse_json
from flow_engine.workflow.validation import compile_workflow
from services.executor.hints import WORDS
from services.worker.broker import is_bell
from tests.security.test_escapes import EXPRESSIONS, SCOPE

ROOT = Path(__file__).parents[2]
TYPES = built_in_registry()
MOST_TOLD = 100_000
STUCK_SECONDS = 60.0
"""No single input may take so long; what does is told with its stack."""


def _descriptors(name: str) -> list[Descriptor]:
    return list(importlib.import_module(f"flow_engine.v1.{name}").DESCRIPTOR.message_types_by_name.values())


PROTOS = sorted(path.stem for path in (ROOT / "flow_engine" / "v1").glob("*_pb2.py"))
MESSAGES: list[type[Message]] = [
    GetMessageClass(descriptor) for name in PROTOS for descriptor in _descriptors(name)
]
SEEDS = [path.read_text() for path in sorted((ROOT / "examples").glob("*.json"))]
WORDS_OF_CEL = [
    *"input nodes vars execution secrets callbacks item index has map filter all exists".split(),
    *"true false null in . [ ] ( ) { } , : ? ! ! = == != < <= > >= && || + - * / % 'a' \"b\"".split(),
    *"r'\\' b'x' 1 2u 3.5 1e9 0x7f size string int double matches split join json.decode".split(),
    *"base64.encode timestamp duration cel.bind".split(),
    *[" ", "\n", "//x\n", "${", "}", "$${", "__class__", "\u2028", "\x00", "é", "😀", "`x`"],
]

expressions = st.one_of(
    st.lists(st.sampled_from(WORDS_OF_CEL), max_size=25).map("".join),
    st.lists(st.sampled_from(WORDS_OF_CEL), max_size=25).map(" ".join),
    st.text(max_size=60),
    st.tuples(st.sampled_from(EXPRESSIONS), st.integers(0, 80), st.sampled_from(WORDS_OF_CEL)).map(
        lambda parts: parts[0][: parts[1]] + parts[2] + parts[0][parts[1] :]
    ),
)
values = st.recursive(
    st.one_of(
        *(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=10)),
        expressions.map("${{ {} }}".format),
    ),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)


@st.composite
def documents(draw: Any) -> bytes:
    """A definition of ours with pieces cut out, doubled and put in."""
    text = draw(st.sampled_from(SEEDS))
    for _ in range(draw(st.integers(0, 6))):
        start = draw(st.integers(0, len(text)))
        end = min(len(text), start + draw(st.integers(0, 40)))
        pieces = ["", text[start:end] * 2, "null", "[", "}", '"', "1e999", "\\ud800", "-0"]
        piece = draw(st.sampled_from(pieces))
        text = text[:start] + piece + text[end:]
    return bytes(text, "utf-8", "surrogatepass")


@st.composite
def configured(draw: Any) -> bytes:
    """A node of some type whose config has anything in it."""
    kind = draw(st.sampled_from(list(TYPES)))
    config = {**kind.example, draw(st.sampled_from([*kind.example, "extra"])): draw(values)}
    node = {"id": draw(st.text(max_size=5)), "type": kind.type, "config": config}
    return json.dumps({"nodes": [node, {"id": "b", "type": "flow.noop"}], "output": draw(values)}).encode()


@st.composite
def wire(draw: Any) -> tuple[type[Message], bytes]:
    """Bytes for a message: some of another one, or anything."""
    kind = draw(st.sampled_from(MESSAGES))
    data = draw(st.binary(max_size=200))
    if draw(st.booleans()):
        other = draw(st.sampled_from(MESSAGES))()
        for field in other.DESCRIPTOR.fields:
            if field.type == field.TYPE_STRING and not field.is_repeated:
                setattr(other, field.name, draw(st.text(st.characters(codec="utf-8"), max_size=10)))
        data = other.SerializeToString() + data
    return kind, data


def parsing(data: bytes) -> None:
    try:
        compile_workflow(parse_json(data, max_bytes=1 << 20, max_depth=64), TYPES)
    except FlowEngineError as error:
        if len(str(error)) > MOST_TOLD:
            raise AssertionError("a refusal as long as what was refused") from error


def compiling(source: str) -> None:
    try:
        json.dumps(compile_expression(source).evaluate(SCOPE))
    except (ExpressionSyntaxError, EvaluationError) as error:
        if "object at 0x" in str(error):
            raise AssertionError("a refusal that shows the inside") from error


def rendering(value: Any) -> None:
    with suppress(TemplateErrors, EvaluationError):
        compile_template(value).render(SCOPE)


def decoding(message_and_bytes: tuple[type[Message], bytes]) -> None:
    kind, data = message_and_bytes
    try:
        message = kind.FromString(data)
    except DecodeError:
        return
    kind.FromString(message.SerializeToString())
    str(message)


def answers(data: bytes) -> None:
    with suppress(InvalidJson):
        parse_answer(data)


def messages(data: bytes) -> None:
    is_bell(data)
    WORDS.fullmatch(data)


def tokens(text: str) -> None:
    claimed = callbacks.read(text)
    assert claimed is None or not claimed.proven(b"another key")


def settings_text(text: str) -> None:
    with suppress(ValueError):
        EgressGuard(opened(text))


def redacting(text: str) -> None:
    assert "s3cr3t+value" not in Redactor(["s3cr3t+value"]).text(text + "s3cr3t+value" + text)


TARGETS: dict[str, tuple[Callable[[Any], None], st.SearchStrategy[Any]]] = {
    "definitions": (parsing, documents()),
    "configs": (parsing, configured()),
    "JSON": (parsing, st.binary(max_size=300) | st.text(string.printable, max_size=200).map(str.encode)),
    "expressions": (compiling, expressions),
    "templates": (rendering, values),
    "protobuf": (decoding, wire()),
    "answers of servers": (answers, st.binary(max_size=200) | values.map(lambda v: json.dumps(v).encode())),
    "bells and hints": (messages, st.binary(max_size=300)),
    "callback tokens": (tokens, st.text(string.ascii_letters + string.digits + "-_=+/", max_size=200)),
    "egress settings": (settings_text, st.text("0123456789abcdef.:/[]*, x", max_size=40)),
    "redaction": (redacting, st.text(max_size=20)),
}


def throw(name: str, examples: int, chosen: int) -> None:
    """Raises what the target raised, with the smallest input that makes it."""
    target, strategy = TARGETS[name]
    thrown = seed(chosen)(
        settings(
            max_examples=examples, deadline=None, database=None, suppress_health_check=list(HealthCheck)
        )(given(strategy)(target))
    )
    thrown()


def main() -> int:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--seconds", type=float, default=60.0)
    arguments.add_argument("--seed", type=int, default=random.SystemRandom().randrange(2**32))
    chosen = arguments.parse_args()
    chooser, until, rounds = random.Random(chosen.seed), time.monotonic() + chosen.seconds, Counter[str]()
    print(f"seed {chosen.seed}; {len(TARGETS)} targets, {len(MESSAGES)} protobuf messages", flush=True)
    while time.monotonic() < until:
        for name in TARGETS:
            faulthandler.dump_traceback_later(STUCK_SECONDS, exit=True)
            try:
                throw(name, 100, chooser.randrange(2**32))
            except Exception:
                print(f"FOUND in {name}; repeat with --seed {chosen.seed}", flush=True)
                raise
            rounds[name] += 100
            if time.monotonic() >= until:
                break
    faulthandler.cancel_dump_traceback_later()
    for name, count in rounds.items():
        print(f"{name:20} {count:8,} inputs, nothing found")
    return 0


if __name__ == "__main__":
    sys.exit(main())
