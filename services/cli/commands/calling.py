"""One call to the executor, and what it says of an execution."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from services.cli.output import note, print_json
from services.cli.settings import ClientSettings

if TYPE_CHECKING:
    from flow_engine.v1 import execution_pb2 as pb
    from services.cli.client import Executor


@contextmanager
def calls() -> Iterator[tuple[Executor, float]]:
    """An executor and the deadline of a call that answers at once."""
    from services.cli.client import CALL_SECONDS, connected

    with connected(ClientSettings.read()) as executor:
        yield executor, CALL_SECONDS


def tell(execution: pb.Execution, as_json: bool, remark: str) -> None:
    from services.cli.reports import status_line
    from services.gateway.documents import execution_document

    if as_json:
        print_json(execution_document(execution, with_steps=bool(execution.steps)))
        return
    print(status_line(execution))
    if remark:
        note(remark)
