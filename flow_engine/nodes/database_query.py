from __future__ import annotations

import asyncio
import base64
import math
import re
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Annotated, Any, ClassVar
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit
from uuid import UUID

from pydantic import AfterValidator, Field

from flow_engine.egress.guard import EGRESS_ERRORS
from flow_engine.nodes.connections import Secret
from flow_engine.nodes.contract import Completed, Effect, NodeConfig, NodeContext, NodeError, NodeType
from flow_engine.nodes.outputs import INTEGER, OBJECT, STRING, list_of, record
from flow_engine.payload import JsonValue, encode

if TYPE_CHECKING:
    # Imported where they are used: most processes never run this node.
    from psycopg import AsyncConnection, AsyncCursor, Error

MAX_RESULT_BYTES = 4 << 20
SSL_MODES = frozenset({"disable", "allow", "prefer", "require", "verify-ca", "verify-full"})
SCHEMES = frozenset({"postgresql", "postgres"})


def _reachable(text: str) -> str:
    try:
        url = urlsplit(text)
        options = dict(parse_qsl(url.query, strict_parsing=bool(url.query)))
        _ = url.port
    except ValueError as error:
        raise ValueError(
            "this is no database URL; write postgresql://user:password@host:5432/name"
        ) from error
    if url.scheme not in SCHEMES:
        raise ValueError("only postgresql:// URLs are supported")
    if not re.fullmatch(r"[A-Za-z0-9._:-]+", url.hostname or "") or not url.path.strip("/"):
        raise ValueError("the URL must name one host and a database")
    if unknown := options.keys() - {"sslmode"}:
        raise ValueError(f"the URL option {min(unknown)!r} is not supported; only `sslmode` is")
    if options.get("sslmode", "prefer") not in SSL_MODES:
        raise ValueError(f"sslmode must be one of {', '.join(sorted(SSL_MODES))}")
    return text


class DatabaseQueryConfig(NodeConfig):
    url: Annotated[Secret, AfterValidator(_reachable)] = Field(
        description="The database: `postgresql://user:password@host:5432/name?sslmode=require`."
    )
    sql: str = Field(
        min_length=1,
        max_length=100_000,
        description="One statement. Values go in as parameters, `WHERE id = :id`, never by `${ … }`; "
        "a colon that begins no parameter is written `\\:`.",
    )
    parameters: dict[str, Any] = Field(
        default_factory=dict,
        description="A value for each parameter. Lists of plain values are arrays; "
        "other lists and objects are jsonb.",
    )
    read_only: bool = Field(default=True, description="Whether the database is to refuse any change.")
    max_rows: int = Field(default=1000, ge=1, le=100_000, description="More rows fail the step.")
    timeout_ms: int = Field(
        default=30_000, ge=1, le=3_600_000, description="For connecting and the statement."
    )


class DatabaseQuery(NodeType[DatabaseQueryConfig]):
    """Runs one SQL statement in PostgreSQL.

    The output is `{"rows": [{…}], "rowCount": …, "columns": […]}`, `rowCount` telling the changed rows of a
    statement without rows. Numbers keep their value: `numeric` with decimals comes as a string. Dates and
    times are ISO 8601, bytes base64, JSON and arrays as they are. Each statement is a transaction of its own.
    """

    type = "database.query"
    title = "Database query"
    config_model = DatabaseQueryConfig
    example: ClassVar[dict[str, Any]] = {
        "url": "postgresql://shop:secret@db.example:5432/shop",
        "sql": "SELECT id, total FROM orders WHERE customer = :customer ORDER BY id LIMIT 100",
        "parameters": {"customer": 7},
    }
    effect = Effect.EXTERNAL
    error_codes: ClassVar[Mapping[str, str]] = {
        "DB_CONNECT": "No connection to the database. Retryable.",
        "DB_AUTH": "The database does not accept user name and password.",
        "DB_TIMEOUT": "The statement took too long and was stopped. Retryable if `readOnly`.",
        "DB_QUERY": "The database refuses the statement; `details` hold its SQLSTATE.",
        "DB_READ_ONLY": "The statement would change something, and `readOnly` is on.",
        "DB_CONFLICT": "Another transaction got in the way, or a deadlock. Retryable.",
        "DB_DISCONNECTED": "The connection broke off. Retryable if `readOnly`; else its effect is unknown.",
        "DB_TOO_MANY_ROWS": "There are more rows than `maxRows`.",
        "DB_TOO_LARGE": "The rows have more than 4 MiB of JSON.",
        "DB_PARAMETERS": "The parameters are not those that the statement names.",
        **EGRESS_ERRORS,
    }

    def output_schema(self, config: Mapping[str, Any]) -> Mapping[str, Any]:
        return record(rows=list_of(OBJECT), rowCount=INTEGER, columns=list_of(STRING))

    def typical_ms(self, config: Mapping[str, Any]) -> float:
        return 100.0

    async def run(self, context: NodeContext, config: DatabaseQueryConfig) -> Completed:
        from psycopg import Error

        statement, parameters = _statement(config)
        try:
            async with asyncio.timeout(config.timeout_ms / 1000):
                async with _connection(context, config) as connection, connection.cursor() as cursor:
                    return Completed(await _result(connection, cursor, statement, parameters, config))
        except TimeoutError as error:
            raise _too_slow(config) from error
        except Error as error:
            raise _failure(error, config) from error


# The statement


def _statement(config: DatabaseQueryConfig) -> tuple[str, dict[str, Any]]:
    """The statement as the driver wants it, and its parameters. Raises NodeError DB_PARAMETERS."""
    from sqlalchemy import text
    from sqlalchemy.dialects.postgresql import psycopg

    compiled = text(config.sql).compile(dialect=psycopg.dialect())  # type: ignore[no-untyped-call]
    wanted, given = set(compiled.params), set(config.parameters)
    if wanted != given:
        names = ", ".join(sorted(wanted - given)) or ", ".join(sorted(given - wanted))
        what = "there is no value for" if wanted - given else "the statement does not use"
        raise NodeError("DB_PARAMETERS", f"{what} {names}")
    return str(compiled), {name: _bound(value) for name, value in config.parameters.items()}


def _bound(value: JsonValue) -> Any:
    from psycopg.types.json import Jsonb

    is_json = isinstance(value, dict) or (
        isinstance(value, list) and any(isinstance(item, dict | list) for item in value)
    )
    return Jsonb(value, dumps=encode) if is_json else value


# The connection


@asynccontextmanager
async def _connection(context: NodeContext, config: DatabaseQueryConfig) -> AsyncIterator[AsyncConnection]:
    from psycopg import AsyncConnection, OperationalError

    url = urlsplit(config.url)
    try:
        connection = await AsyncConnection.connect("", **await _connection_options(context, url))
    except (OperationalError, OSError) as error:
        if "authentication failed" in str(error):
            raise NodeError("DB_AUTH", f"{url.hostname} does not accept user name and password") from error
        raise NodeError(
            "DB_CONNECT", f"cannot connect to the database at {url.hostname}", retryable=True
        ) from error
    try:
        await connection.set_read_only(config.read_only)
        yield connection
    finally:
        await connection.close()


async def _connection_options(context: NodeContext, url: SplitResult) -> dict[str, Any]:
    """All that libpq would otherwise take from the environment and files of this machine is set."""
    host, port = url.hostname or "", url.port or 5432
    address = await context.services.address_of(host, port)
    return {
        "host": host,
        "port": port,
        "dbname": unquote(url.path.lstrip("/")),
        "user": unquote(url.username or "postgres"),
        "password": unquote(url.password or ""),
        "passfile": "/dev/null",
        "sslmode": dict(parse_qsl(url.query)).get("sslmode", "prefer"),
        "application_name": "flow-execution-engine",
        "hostaddr": address,
        "gssencmode": "disable",
    }


# The result


async def _result(
    connection: AsyncConnection,
    cursor: AsyncCursor,
    statement: str,
    parameters: dict[str, Any],
    config: DatabaseQueryConfig,
) -> dict[str, JsonValue]:
    await connection.execute(f"SET LOCAL statement_timeout = {config.timeout_ms}")
    if config.read_only:
        # Row by row, so that a result of any size takes little memory.
        result = await _gathered(cursor, cursor.stream(statement.encode(), parameters), config.max_rows)
        await connection.rollback()
        return result
    # Prepared, because only then the server takes one statement and no more.
    await cursor.execute(statement.encode(), parameters, prepare=True)
    if cursor.description is None:
        result = {"rows": [], "rowCount": max(cursor.rowcount, 0), "columns": []}
    else:
        result = await _gathered(cursor, cursor, config.max_rows)
    await connection.commit()
    return result


async def _gathered(cursor: AsyncCursor, rows: Any, limit: int) -> dict[str, JsonValue]:
    """The rows as objects. Raises NodeError beyond the limits."""
    gathered: list[JsonValue] = []
    size = 0
    async for row in rows:
        if len(gathered) == limit:
            raise NodeError(
                "DB_TOO_MANY_ROWS", f"there are more than {limit} rows; write a LIMIT", limit=limit
            )
        values = [_json(value) for value in row]
        size += len(encode(values))
        if size > MAX_RESULT_BYTES:
            raise NodeError("DB_TOO_LARGE", f"the rows have more than {MAX_RESULT_BYTES:,} bytes")
        gathered.append(dict(zip(_names(cursor), values, strict=True)))
    return {"rows": gathered, "rowCount": len(gathered), "columns": _names(cursor)}


def _names(cursor: AsyncCursor) -> list[str]:
    return [column.name for column in cursor.description or ()]


def _json(value: Any) -> JsonValue:
    """A database value as JSON, without losing any of it."""
    match value:
        case None | bool() | int() | str():
            return value
        case float():
            return value if math.isfinite(value) else str(value)
        case Decimal():
            return int(value) if value.is_finite() and int(value.as_tuple().exponent) >= 0 else str(value)
        case datetime() | date() | time():
            return value.isoformat()
        case timedelta():
            return value.total_seconds()
        case bytes() | bytearray() | memoryview():
            return base64.b64encode(value).decode()
        case UUID():
            return str(value)
        case list() | tuple():
            return [_json(item) for item in value]
        case dict():
            return {str(key): _json(item) for key, item in value.items()}
        case _:
            return str(value)


# What went wrong


def _too_slow(config: DatabaseQueryConfig) -> NodeError:
    message = f"the statement took longer than {config.timeout_ms} ms"
    return NodeError("DB_TIMEOUT", message, retryable=config.read_only)


def _failure(error: Error, config: DatabaseQueryConfig) -> NodeError:
    """By SQLSTATE; source: PostgreSQL, Appendix A."""
    state = error.sqlstate or ""
    told = error.diag.message_primary or ""
    match state:
        case "57014":
            return _too_slow(config)
        case "25006":
            return NodeError("DB_READ_ONLY", f"the database refuses: {told}", sqlstate=state)
        case "40001" | "40P01":
            return NodeError("DB_CONFLICT", f"the database gave up: {told}", retryable=True, sqlstate=state)
        case "" | "57P01" | "57P02":
            if not told and not _is_operational(error):
                return NodeError("DB_QUERY", "the statement gives no rows, or its values cannot be sent")
            return NodeError("DB_DISCONNECTED", "the connection broke off", retryable=config.read_only)
        case _:
            return NodeError("DB_QUERY", f"the database refuses: {told}", sqlstate=state)


def _is_operational(error: Error) -> bool:
    from psycopg import OperationalError

    return isinstance(error, OperationalError)
