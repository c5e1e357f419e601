"""certs: certificates for services among themselves."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Annotated

import typer

from flow_engine.ids import DEFAULT_NAMESPACE
from services.cli.errors import BadUse
from services.cli.output import note
from services.cli.spans import parse_span_ms

certs = typer.Typer(
    no_args_is_help=True, help="Make certificates for services among themselves. Needs no server."
)

DirOption = Annotated[Path, typer.Option("--dir", metavar="DIR", help="Where all of them lie.")]
TtlOption = Annotated[str, typer.Option(help="How long it is valid, such as 30d.")]
AUTHORITY = "ca"


@certs.command("server")
def server(
    hosts: Annotated[list[str], typer.Argument(metavar="HOST…", help="What clients dial.")],
    folder: DirOption = Path("certs"),
    name: Annotated[str, typer.Option(help="What its files are called.")] = "executor",
    ttl: TtlOption = "365d",
) -> None:
    """Make a certificate for an executor: FLOW_GRPC_TLS_CERT and FLOW_GRPC_TLS_KEY."""
    _issue(folder, name, ttl, hosts=hosts)


@certs.command("client")
def client(
    name: Annotated[str, typer.Argument(help="What it is called, and its files.")],
    role: Annotated[str, typer.Option(help="worker, admin …; none for a gateway, which calls for others.")],
    namespace: Annotated[str, typer.Option(help="Whose executions.")] = DEFAULT_NAMESPACE,
    folder: DirOption = Path("certs"),
    ttl: TtlOption = "365d",
) -> None:
    """Make a certificate for a client: FLOW_GRPC_TLS_CLIENT_CERT and FLOW_GRPC_TLS_CLIENT_KEY."""
    from flow_engine.errors import InvalidRequest
    from services.executor.access.certificates import SCHEME
    from services.executor.access.tokens import check_namespace, check_new

    try:
        check_namespace(namespace)
        check_new(name, "viewer" if role == "none" else role, None)
    except InvalidRequest as error:
        raise BadUse("; ".join(problem.message for problem in error.problems)) from None
    _issue(folder, name, ttl, identity="" if role == "none" else f"{SCHEME}://{namespace}/{role}/{name}")


def _issue(folder: Path, name: str, ttl: str, *, hosts: list[str] | None = None, identity: str = "") -> None:
    """Raises BadUse. The authority is made when there is none yet."""
    from services.executor.access.issuing import Issued, issue, new_authority

    if not name.replace("-", "").replace("_", "").replace(".", "").isalnum() or name == AUTHORITY:
        raise BadUse(f"{name!r} cannot be the name of files of a certificate")
    valid = timedelta(milliseconds=parse_span_ms(ttl, "--ttl"))
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if not (folder / f"{AUTHORITY}.pem").exists():
            new_authority(timedelta(days=3650)).write(folder, AUTHORITY)
        made = issue(Issued.read(folder, AUTHORITY), name, valid, hosts=hosts or (), identity=identity)
        made.write(folder, name)
    except OSError as error:
        raise BadUse(f"cannot write to {folder}: {error.strerror}") from error
    note(f"{folder / name}.pem and .key, signed by {folder / AUTHORITY}.pem")
