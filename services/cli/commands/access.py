"""Who may call, and who did: token, audit, whoami."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from flow_engine.ids import DEFAULT_NAMESPACE
from services.cli.commands.calling import calls
from services.cli.commands.options import AsJson
from services.cli.errors import BadConfiguration, BadUse, Unreachable
from services.cli.output import note, print_json
from services.cli.settings import data_dir
from services.cli.spans import parse_instant, parse_span_ms

if TYPE_CHECKING:
    from services.executor.access.tokens import Token
    from services.executor.persistence.tokens import SqlTokenStore
    from services.gateway.accounts import TokenDocument

T = TypeVar("T")

token = typer.Typer(
    no_args_is_help=True, help="Make and revoke API tokens. Works on the database, no server needed."
)

DataOption = Annotated[
    Path | None, typer.Option("--data", metavar="DIR", help="Data folder; FLOW_DATA_DIR or .flow by default.")
]
NamespaceOption = Annotated[str, typer.Option("--namespace", help="Whose executions and workflows.")]


@token.command("create")
def create_token(
    name: Annotated[str, typer.Argument(help="What it is for.")],
    role: Annotated[str, typer.Option(help="viewer, operator, author, worker or admin.")] = "viewer",
    namespace: NamespaceOption = DEFAULT_NAMESPACE,
    ttl: Annotated[str, typer.Option(help="How long it lives, such as 30d; never does not end.")] = "90d",
    data: DataOption = None,
    as_json: AsJson = False,
) -> None:
    """Make a token and print it: this is the only time that it can be read."""
    from services.executor.access.tokens import check_namespace, check_new
    from services.gateway.accounts import NewTokenDocument

    span = None if ttl == "never" else timedelta(milliseconds=parse_span_ms(ttl, "--ttl"))

    async def work(tokens: SqlTokenStore) -> tuple[Token, str]:
        check_new(name, role, span)
        check_namespace(namespace)
        return await tokens.create(name, role, span, "command line", namespace)

    made, text = on_database(work, data)
    if as_json:
        print_json(NewTokenDocument(token=token_document(made), secret=text))
        return
    print(text)
    note(f"{made.role} of {made.namespace}, {told_end(made)}; set it as FLOW_TOKEN, it is not shown again")


@token.command("list")
def list_tokens(
    namespace: NamespaceOption = DEFAULT_NAMESPACE, data: DataOption = None, as_json: AsJson = False
) -> None:
    """List the tokens of a namespace, newest first."""
    from services.gateway.accounts import TokenList

    found = on_database(lambda tokens: tokens.list(namespace), data)
    if as_json:
        print_json(TokenList(tokens=[token_document(one) for one in found]))
        return
    if not found:
        note("no tokens")
        return
    from rich.table import Table

    from services.cli.output import console

    table = Table("id", "name", "role", "created", "by", "ends", box=None)
    for one in found:
        made = f"{one.created_at:%Y-%m-%d %H:%M}"
        table.add_row(one.id, one.name, one.role, made, one.created_by, told_end(one))
    console().print(table)


@token.command("revoke")
def revoke_token(
    token_id: Annotated[str, typer.Argument(metavar="ID", help="As `flow token list` shows it.")],
    namespace: NamespaceOption = DEFAULT_NAMESPACE,
    data: DataOption = None,
) -> None:
    """Refuse a token from now on. Streams that it opened end within seconds."""
    revoked = on_database(lambda tokens: tokens.revoke(token_id, namespace), data)
    note(f"{revoked.id} ({revoked.name}) is revoked")


def whoami(as_json: AsJson = False) -> None:
    """Tell whom the executor takes you for."""
    from flow_engine.v1 import access_pb2 as pb
    from services.gateway.accounts import session_document

    with calls() as (executor, seconds):
        me = session_document(executor.access.WhoAmI(pb.WhoAmIRequest(), timeout=seconds))
    if as_json:
        print_json(me)
        return
    print(f"{me.subject}: {me.role} of {me.namespace}")


def audit(
    subject: Annotated[str, typer.Option(help="Only what this one did.")] = "",
    action: Annotated[str, typer.Option(help="Only this, such as CancelExecution.")] = "",
    target: Annotated[str, typer.Option(help="Only what was done to this id.")] = "",
    since: Annotated[str | None, typer.Option(help="From an instant, or a span ago such as 2h.")] = None,
    until: Annotated[str | None, typer.Option(help="To an instant, or a span ago.")] = None,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, max=1000, help="The most to print.")] = 100,
    page_token: Annotated[str, typer.Option(help="Where the page before this one ended.")] = "",
    as_json: AsJson = False,
) -> None:
    """Show who did what, newest first."""
    from flow_engine.v1 import access_pb2 as pb
    from services.gateway.accounts import audit_page, timestamp

    now = datetime.now(UTC)
    request = pb.ListAuditEntriesRequest(
        subject=subject,
        action=action,
        target=target,
        after_time=timestamp(parse_instant(since, "--since", now).astimezone(UTC) if since else None),
        before_time=timestamp(parse_instant(until, "--until", now).astimezone(UTC) if until else None),
        page_size=limit,
        page_token=page_token,
    )
    with calls() as (executor, seconds):
        page = audit_page(executor.access.ListAuditEntries(request, timeout=seconds))
    if as_json:
        print_json(page)
        return
    from rich.table import Table

    from services.cli.output import console

    table = Table("time", "who", "did", "to", "outcome", "from", box=None)
    for entry in page.entries:
        time = f"{entry.time:%Y-%m-%d %H:%M:%S}"
        where = entry.client_address or entry.peer
        table.add_row(time, entry.subject, entry.action, entry.target, entry.outcome, where)
    console().print(table)
    if page.next_page_token:
        note(f"more with --page-token {page.next_page_token}")


def on_database(work: Callable[[SqlTokenStore], Awaitable[T]], data: Path | None) -> T:
    """Raises CommandError. An SQLite file that does not exist yet is made."""
    from flow_engine.errors import InvalidRequest, TokenNotFound, Unavailable
    from services.executor.persistence.database import Database, InvalidDatabaseUrl
    from services.executor.persistence.filelock import DatabaseInUse
    from services.executor.persistence.migrating import SchemaMismatch, prepare
    from services.executor.persistence.tokens import SqlTokenStore

    url = os.environ.get("DATABASE_URL") or f"sqlite:///{data_dir(chosen=data) / 'flow.db'}"

    async def run() -> T:
        database = Database(url)
        database.open()
        try:
            return await work(SqlTokenStore(database))
        finally:
            await database.close()

    try:
        prepare(url)
        return asyncio.run(run())
    except InvalidRequest as error:
        raise BadUse("; ".join(problem.message for problem in error.problems)) from None
    except TokenNotFound as error:
        raise BadUse(error.message) from None
    except InvalidDatabaseUrl as error:
        raise BadConfiguration(f"DATABASE_URL: {error}") from error
    except (SchemaMismatch, DatabaseInUse) as error:
        raise BadConfiguration(str(error)) from error
    except Unavailable as error:
        raise Unreachable(error.message) from error


def told_end(one: Token) -> str:
    if one.revoked_at is not None:
        return f"revoked {one.revoked_at:%Y-%m-%d %H:%M}"
    return "never ends" if one.expires_at is None else f"until {one.expires_at:%Y-%m-%d %H:%M}"


def token_document(one: Token) -> TokenDocument:
    from msgspec import UNSET

    from services.gateway.accounts import TokenDocument

    return TokenDocument(
        id=one.id,
        name=one.name,
        role=one.role,
        created_at=one.created_at,
        created_by=one.created_by,
        expires_at=UNSET if one.expires_at is None else one.expires_at,
        revoked_at=UNSET if one.revoked_at is None else one.revoked_at,
    )
