"""The command tree of `flow`."""

from __future__ import annotations

import typer

from services.cli.commands import (
    access,
    catalogue,
    certificates,
    definitions,
    executions,
    figures,
    operations,
    running,
    secrets,
    serving,
    steering,
    triggers,
)

RUN = "Run and follow"
STEER = "Steer"
DEFINE = "Define"
OPERATE = "Operate"
SERVE = "Serve"

app = typer.Typer(
    name="flow",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Flow Execution Engine: runs workflows of typed nodes durably, and shows them live.",
    epilog="The executor is looked for at FLOW_GRPC_ADDRESS (127.0.0.1:50051 by default).",
)

app.command(rich_help_panel=RUN)(running.run)
app.command(rich_help_panel=RUN)(running.watch)
app.command(rich_help_panel=RUN)(executions.ls)
app.command(rich_help_panel=RUN)(executions.export)
app.command(rich_help_panel=RUN)(executions.show)
app.command(rich_help_panel=RUN)(running.events)
app.command(rich_help_panel=RUN)(executions.value)
app.command(rich_help_panel=RUN)(figures.stats)
app.command(rich_help_panel=STEER)(steering.pause)
app.command(rich_help_panel=STEER)(steering.resume)
app.command(rich_help_panel=STEER)(steering.cancel)
app.command(rich_help_panel=STEER)(steering.retry)
app.command("input", rich_help_panel=STEER)(executions.submit_input)
app.command(rich_help_panel=STEER)(executions.approve)
app.command(rich_help_panel=STEER)(executions.reject)
app.command(rich_help_panel=STEER)(executions.callback)
app.command(rich_help_panel=DEFINE)(definitions.validate)
app.command(rich_help_panel=DEFINE)(definitions.analyze)
app.command(rich_help_panel=DEFINE)(definitions.diff)
app.command(rich_help_panel=DEFINE)(catalogue.nodes)
app.command(rich_help_panel=DEFINE)(catalogue.schema)
app.add_typer(definitions.workflows, name="workflows", rich_help_panel=DEFINE)
app.add_typer(triggers.triggers, name="triggers", rich_help_panel=DEFINE)
app.add_typer(secrets.secret, name="secret", rich_help_panel=DEFINE)
app.add_typer(definitions.imports, name="import", rich_help_panel=DEFINE)
app.command(rich_help_panel=OPERATE)(operations.workers)
app.command(rich_help_panel=OPERATE)(operations.queue)
app.command(rich_help_panel=OPERATE)(operations.drain)
app.command(rich_help_panel=OPERATE)(operations.requeue)
app.command(rich_help_panel=OPERATE)(operations.purge)
app.command(rich_help_panel=OPERATE)(operations.doctor)
app.command(rich_help_panel=OPERATE)(access.audit)
app.command(rich_help_panel=OPERATE)(access.whoami)
app.add_typer(access.token, name="token", rich_help_panel=OPERATE)
app.add_typer(certificates.certs, name="certs", rich_help_panel=OPERATE)
app.command(rich_help_panel=SERVE)(serving.up)
app.command(rich_help_panel=SERVE)(serving.executor)
app.command(rich_help_panel=SERVE)(serving.worker)
app.command(rich_help_panel=SERVE)(serving.gateway)
app.add_typer(serving.db, name="db", rich_help_panel=SERVE)
