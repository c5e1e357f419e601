"""What definitions are made of: nodes, schema."""

from __future__ import annotations

from typing import Annotated

import typer

from services.cli.commands.options import AsJson
from services.cli.errors import BadUse
from services.cli.output import print_json
from services.cli.settings import ClientSettings


def nodes(
    node_type: Annotated[
        str | None, typer.Argument(metavar="TYPE", help="Describe this one in full.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """List the node types that the executor knows, or describe one."""
    from flow_engine.v1 import execution_pb2 as pb
    from services.cli.client import CALL_SECONDS, connected

    with connected(ClientSettings.read()) as executor:
        answer = executor.executions.ListNodeTypes(pb.ListNodeTypesRequest(), timeout=CALL_SECONDS)
    known = {one.type: one for one in answer.node_types}
    if node_type is not None and node_type not in known:
        from difflib import get_close_matches

        close = get_close_matches(node_type, known, n=1)
        raise BadUse(f"there is no node type {node_type!r}", [f"did you mean {close[0]}?"] if close else [])
    if as_json:
        from services.gateway.documents import NodeTypeList, node_type_document

        if node_type is not None:
            print_json(node_type_document(known[node_type]))
        else:
            print_json(NodeTypeList(nodes=[node_type_document(one) for one in answer.node_types]))
        return
    from services.cli.output import console
    from services.cli.reports import node_type_report, node_type_table

    if node_type is None:
        console().print(node_type_table(answer.node_types))
        return
    for part in node_type_report(known[node_type]):
        console().print(part)


def schema() -> None:
    """Print the JSON Schema of a workflow definition. Needs no executor."""
    from flow_engine.nodes.registry import load_registry
    from flow_engine.workflow.schema import workflow_schema

    print_json(workflow_schema(load_registry()))
