from __future__ import annotations

import re
from pathlib import Path

from flow_engine.nodes.registry import built_in_registry
from flow_engine.workflow.secrets import secret_fields

PAGE = Path(__file__).parents[3] / "docs" / "secrets.md"


def test_the_page_lists_the_fields_that_may_hold_secrets() -> None:
    rows = re.findall(r"^\| `([\w.]+)` \| (`.+`) \|$", PAGE.read_text(), re.MULTILINE)
    told = {kind: set(re.findall(r"`([\w.*]+)`", fields)) for kind, fields in rows}
    assert told == {
        kind.type: set(fields) for kind in built_in_registry() if (fields := secret_fields(kind.config_model))
    }
