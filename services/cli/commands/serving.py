"""Running the services: up, executor, worker, gateway, db upgrade."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from services.cli.commands.options import AsJson
from services.cli.errors import BadConfiguration, BadUse, Unreachable
from services.cli.settings import MOST_WORKERS, Address, StackSettings, data_dir

db = typer.Typer(no_args_is_help=True, help="Care for the database. Runs executor code, no server needed.")

DataOption = Annotated[
    Path | None, typer.Option("--data", metavar="DIR", help="Data folder; FLOW_DATA_DIR or .flow by default.")
]
GrpcOption = Annotated[
    str | None, typer.Option("--grpc", metavar="HOST:PORT", help="Where the executor is; port 0 picks one.")
]
HttpOption = Annotated[
    str | None, typer.Option("--http", metavar="HOST:PORT", help="Where the gateway is; port 0 picks one.")
]

InsecureOption = Annotated[
    bool, typer.Option("--insecure", help="Listen beyond loopback without access control.")
]


def up(
    workers: Annotated[
        int | None,
        typer.Option(min=0, max=MOST_WORKERS, help="Worker processes; FLOW_WORKERS or 1 by default."),
    ] = None,
    examples: Annotated[bool, typer.Option("--examples", help="Run the examples once it is up.")] = False,
    http: HttpOption = None,
    grpc: GrpcOption = None,
    data: DataOption = None,
    insecure: InsecureOption = False,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Show the logs of all services.")] = False,
    as_json: AsJson = False,
) -> None:
    """Start the whole stack and stay up until Ctrl-C.

    Without DATABASE_URL and REDIS_URL it brings SQLite and a Redis-compatible server along.
    """
    import asyncio

    from services.cli.stack.session import session

    settings = StackSettings.read(http=http, grpc=grpc, data=data, workers=workers, insecure=insecure)
    raise typer.Exit(asyncio.run(session(settings, examples=examples, verbose=verbose, as_json=as_json)))


def executor(grpc: GrpcOption = None, data: DataOption = None, insecure: InsecureOption = False) -> None:
    """Run an executor in the foreground."""
    become(
        "services.executor",
        FLOW_GRPC_ADDRESS=_address(grpc, "--grpc"),
        FLOW_DATA_DIR=_path(data),
        FLOW_INSECURE="1" if insecure else None,
    )


def gateway(
    http: HttpOption = None,
    grpc: GrpcOption = None,
    data: DataOption = None,
    insecure: InsecureOption = False,
) -> None:
    """Run a gateway in the foreground."""
    become(
        "services.gateway",
        FLOW_HTTP_ADDRESS=_address(http, "--http"),
        FLOW_GRPC_ADDRESS=_address(grpc, "--grpc"),
        FLOW_DATA_DIR=_path(data),
        FLOW_INSECURE="1" if insecure else None,
    )


def worker(
    processes: Annotated[int, typer.Option("--processes", min=1, max=MOST_WORKERS, help="How many.")] = 1,
    concurrency: Annotated[
        int | None, typer.Option(min=1, help="Executions at once in each; 16 by default.")
    ] = None,
    least: Annotated[
        int | None, typer.Option("--min", min=1, max=MOST_WORKERS, help="Processes that always run.")
    ] = None,
    most: Annotated[
        int | None, typer.Option("--max", min=1, max=MOST_WORKERS, help="Processes that run when work waits.")
    ] = None,
    idle: Annotated[
        str, typer.Option(metavar="SPAN", help="With --max: one goes that was not needed for so long.")
    ] = "30s",
    reload: Annotated[bool, typer.Option("--reload", help="Start anew when the code changes.")] = False,
    grpc: GrpcOption = None,
    data: DataOption = None,
) -> None:
    """Run workers in the foreground: a fixed number, or as many as the load asks for."""
    environment = {
        "FLOW_WORKER_CONCURRENCY": None if concurrency is None else str(concurrency),
        "FLOW_GRPC_ADDRESS": _address(grpc, "--grpc"),
        "FLOW_DATA_DIR": _path(data),
    }
    if most is None and least is None and processes == 1 and not reload:
        become("services.worker", **environment)
    import asyncio

    from services.cli.spans import parse_span_ms
    from services.cli.stack.crew import work

    told = {name: value for name, value in environment.items() if value is not None}
    if most is not None or least is not None:
        from services.cli.stack.elastic import work_elastically
        from services.cli.stack.scaling import Bounds

        least, most = least or 1, most or max(least or 1, processes)
        if least > most or processes != 1 or reload:
            raise BadUse("--min is at most --max, and both exclude --processes and --reload")
        slots = concurrency or int(os.environ.get("FLOW_WORKER_CONCURRENCY") or 16)
        bounds = Bounds(least, most, slots, parse_span_ms(idle, "--idle") / 1000)
        raise typer.Exit(asyncio.run(work_elastically(bounds, told)))
    raise typer.Exit(asyncio.run(work(processes, told, reload=reload)))


@db.command("upgrade")
def upgrade_database(data: DataOption = None) -> None:
    """Bring the database behind DATABASE_URL to the schema of this version. Safe to repeat."""
    from flow_engine.errors import Unavailable
    from services.executor.persistence.database import InvalidDatabaseUrl
    from services.executor.persistence.migrating import SchemaMismatch, migrate

    url = os.environ.get("DATABASE_URL") or f"sqlite:///{data_dir(chosen=data) / 'flow.db'}"
    try:
        revision = migrate(url)
    except InvalidDatabaseUrl as error:
        raise BadConfiguration(f"DATABASE_URL: {error}") from error
    except SchemaMismatch as error:
        raise BadConfiguration(str(error)) from error
    except Unavailable as error:
        raise Unreachable(error.message) from error
    print(f"the database is at schema {revision}")


@db.callback()
def _db() -> None:
    pass


def become(module: str, **environment: str | None) -> NoReturn:
    """Turn this process into a service: signals and output are its own. None leaves a variable alone."""
    from services.cli.stack.children import service_command

    told = {name: value for name, value in environment.items() if value is not None}
    command = service_command(module)
    os.execve(command[0], command, {**os.environ, **told})


def _address(text: str | None, option: str) -> str | None:
    return None if text is None else str(Address.parse(text, option))


def _path(path: Path | None) -> str | None:
    return None if path is None else str(path.expanduser().resolve())
