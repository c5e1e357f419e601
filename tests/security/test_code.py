"""What no line of ours may do: bring objects to life from bytes, or run text as code."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest
from taskiq.result_backends.dummy import DummyResultBackend
from taskiq.serializers.json_serializer import JSONSerializer

from services.executor.dispatcher import TaskiqQueue

ROOT = Path(__file__).parents[2]
SANDBOX = ROOT / "flow_engine" / "sandbox"
"""Runs what users wrote, in a process that has nothing else: the one place where that happens."""
SOURCES = [
    path
    for folder in ("flow_engine", "services")
    for path in sorted((ROOT / folder).rglob("*.py"))
    if "v1" not in path.parts and SANDBOX not in path.parents
]
FORBIDDEN_MODULES = {"pickle", "cPickle", "dill", "cloudpickle", "shelve", "marshal", "joblib", "yaml"}
FORBIDDEN_CALLS = {"eval", "exec", "compile", "__import__", "system", "popen"}
ALLOWED_CALLS = {
    # SQLAlchemy's and the expression compiler's own methods of these names, not the builtins.
    "compile",
}


def findings(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        match node:
            case ast.Import(names=names):
                for name in names:
                    if name.name.split(".")[0] in FORBIDDEN_MODULES:
                        yield f"{path}:{node.lineno} imports {name.name}"
            case ast.ImportFrom(module=str(module)) if module.split(".")[0] in FORBIDDEN_MODULES:
                yield f"{path}:{node.lineno} imports from {module}"
            case ast.Call(func=ast.Name(id=name)) if name in FORBIDDEN_CALLS:
                yield f"{path}:{node.lineno} calls {name}"
            case ast.Call(func=ast.Attribute(attr=name)) if name in FORBIDDEN_CALLS - ALLOWED_CALLS:
                yield f"{path}:{node.lineno} calls .{name}"
            case ast.Call(keywords=keywords) if any(
                keyword.arg == "shell" and getattr(keyword.value, "value", None) is True
                for keyword in keywords
            ):
                yield f"{path}:{node.lineno} starts a shell"
            case ast.Attribute(attr="PickleSerializer" | "PickleFormatter"):
                yield f"{path}:{node.lineno} uses a pickling part of a library"
            case _:
                pass


def test_nothing_brings_objects_to_life_and_nothing_runs_text() -> None:
    assert len(SOURCES) > 200
    assert [found for path in SOURCES for found in findings(path)] == []


@pytest.mark.parametrize(
    "source",
    [
        "import pickle",
        "from pickle import loads",
        "import marshal as m",
        "eval('1')",
        "__import__('os').system('x')",
        "import subprocess\nsubprocess.run('x', shell=True)",
    ],
)
def test_the_walk_finds_what_it_looks_for(tmp_path: Path, source: str) -> None:
    (tmp_path / "bad.py").write_text(source)
    assert list(findings(tmp_path / "bad.py"))


def test_messages_between_services_are_json_and_have_no_results() -> None:
    broker = TaskiqQueue("redis://127.0.0.1:1")._broker
    assert isinstance(broker.serializer, JSONSerializer)
    assert isinstance(broker.result_backend, DummyResultBackend)
