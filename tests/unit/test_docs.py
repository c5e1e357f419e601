"""What the docs refer to exists, and what code refers to is in the docs."""

from __future__ import annotations

import ast
import json
import re
from pathlib import Path

import pytest

from flow_engine.nodes.registry import built_in_registry
from flow_engine.workflow.validation import validate_workflow

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = sorted(DOCS.rglob("*.md"))
SOURCES = sorted(
    path
    for folder in ("flow_engine", "services", "protos")
    for kind in ("*.py", "*.proto")
    for path in (ROOT / folder).rglob(kind)
)

_LINK = re.compile(r"\]\((?!https?:)([^)#\s]*)(#[^)\s]*)?\)")
_TEST = re.compile(r"`(tests/[\w/]+\.py)::(\w+)`")
_NUMBER = re.compile(r"PROTOCOL ((?:\d+)(?:(?:, | and | to |-)\d+)*)")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(DOCS)))
def test_links_lead_somewhere(page: Path) -> None:
    for target, anchor in _LINK.findall(page.read_text()):
        found = (page.parent / target).resolve() if target else page
        assert found.exists(), f"{page.name} links to {target}"
        if anchor and found.suffix == ".md":
            assert anchor[1:] in anchors(found), f"{page.name} links to {target}{anchor}"


def test_every_guarantee_names_a_test_that_exists() -> None:
    named = _TEST.findall((DOCS / "semantics.md").read_text())
    assert len(named) >= 20
    for path, name in named:
        assert name in functions(ROOT / path), f"{path}::{name}"


def test_the_definitions_in_the_docs_are_valid() -> None:
    """A fragment stands for a definition with what it refers to."""
    blocks = re.findall(r"^```json\n(.*?)^```", (DOCS / "semantics.md").read_text(), re.DOTALL | re.MULTILINE)
    assert len(blocks) >= 5
    for block in blocks:
        document = json.loads(block if '"nodes"' in block else f'{{"nodes": [{block}]}}')
        problems = validate_workflow(document, built_in_registry())
        assert {problem.code for problem in problems} <= {
            "UNKNOWN_PARENT",
            "OUTSIDE_LOOP",
            "UNKNOWN_WORKFLOW",
        }, block


@pytest.mark.parametrize("page", ["semantics", "protocol"])
def test_sections_that_code_names_exist(page: str) -> None:
    known = {re.sub(r"^\d+\. ", "", title) for title in headings(DOCS / f"{page}.md")}
    for source in SOURCES:
        for quoted in sections_named(source.read_text(), page):
            assert quoted in known, f"{source.relative_to(ROOT)} names {quoted!r}"


def test_rules_that_code_numbers_exist() -> None:
    numbers = {title.partition(".")[0] for title in headings(DOCS / "protocol.md")}
    for source in SOURCES:
        for found in _NUMBER.findall(source.read_text()):
            for number in re.findall(r"\d+", found):
                assert number in numbers, f"{source.relative_to(ROOT)} names PROTOCOL {number}"


def test_the_index_lists_every_page() -> None:
    index = (DOCS / "README.md").read_text()
    for page in PAGES:
        if page.name != "README.md":
            assert f"({page.relative_to(DOCS)})" in index, f"docs/README.md does not list {page.name}"


def sections_named(text: str, page: str) -> list[str]:
    """Headings in quotes behind a reference to the page: docs/page.md, "One" and "Two"."""
    found = []
    for line in re.findall(rf'docs/{page}\.md`?,((?: (?:and )?"[^"\n]+",?)+)', text):
        found.extend(re.findall(r'"([^"]+)"', line))
    return found


def headings(page: Path) -> list[str]:
    return re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE)


def anchors(page: Path) -> set[str]:
    """As GitHub makes them."""
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in headings(page)}


def functions(path: Path) -> set[str]:
    tree = ast.parse(path.read_text())
    return {node.name for node in tree.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}
