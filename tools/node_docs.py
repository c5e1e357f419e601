"""Writes docs/nodes.md from what the built-in node types declare.

`python -m tools.node_docs` writes it; with `--check` it only tells, by exit code 1, that the file is stale.
"""

from __future__ import annotations

import sys
from pathlib import Path

from flow_engine.nodes.markdown import nodes_markdown
from flow_engine.nodes.registry import built_in_registry
from tools import workflow_schema

PAGE = Path(__file__).resolve().parent.parent / "docs" / "nodes.md"


def main() -> int:
    page = nodes_markdown(built_in_registry())
    fresh = PAGE.is_file() and PAGE.read_text() == page
    if "--check" in sys.argv[1:]:
        if not fresh:
            print("docs/nodes.md is stale; run: python -m tools.node_docs", file=sys.stderr)
        return 0 if fresh else 1
    PAGE.write_text(page)
    workflow_schema.FILE.write_text(workflow_schema.text())  # it names every type too
    return 0


if __name__ == "__main__":
    sys.exit(main())
