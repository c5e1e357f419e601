from __future__ import annotations

from flow_engine.nodes.markdown import nodes_markdown
from tests.unit.nodes.contexts import BUILT_IN
from tools.node_docs import PAGE


def test_the_page_of_node_types_is_fresh() -> None:
    assert PAGE.read_text() == nodes_markdown(BUILT_IN), "run: python -m tools.node_docs"


def test_every_type_and_error_code_has_its_place() -> None:
    page = nodes_markdown(BUILT_IN)
    for kind in BUILT_IN:
        assert f"\n## {kind.type}\n" in page
        assert all(f"| `{code}` |" in page for code in kind.error_codes)
