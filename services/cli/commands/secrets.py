"""Secrets that workflows name. A value comes from standard input, never as an argument, which all can see."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from services.cli.commands.calling import calls
from services.cli.commands.options import AsJson
from services.cli.errors import BadUse
from services.cli.output import note, print_json

secret = typer.Typer(no_args_is_help=True, help="Keep what workflows name as ${ secrets.NAME }.")

NameArgument = Annotated[str, typer.Argument(metavar="NAME", help="Letters, digits and _, no digit first.")]


@secret.command("set")
def set_secret(
    name: NameArgument,
    host: Annotated[
        list[str] | None,
        typer.Option(
            "--host",
            metavar="HOST",
            help="Where it may be sent; repeatable. *.example.com is any below.",
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Keep a secret, in place of one that has its name. Asks for the value, or reads it from a pipe."""
    from flow_engine.v1 import secret_pb2 as pb

    if not host:
        raise BadUse("say where the secret may be sent: --host api.example.com; --host '*' is anywhere")
    request = pb.PutSecretRequest(name=name, value=_value(name), hosts=host)
    with calls() as (executor, seconds):
        answer = executor.secrets.PutSecret(request, timeout=seconds)
    if as_json:
        from services.gateway.secrets import secret_document

        print_json(secret_document(answer.secret))
        return
    what = "kept" if answer.created else "kept in place of the one before"
    print(f"{name} {what}; it may go to {', '.join(answer.secret.hosts)}")


@secret.command("list")
def list_secrets(as_json: AsJson = False) -> None:
    """Name all secrets that workflows may use, and where each may go. Values are never told."""
    from flow_engine.v1 import secret_pb2 as pb

    with calls() as (executor, seconds):
        answer = executor.secrets.ListSecrets(pb.ListSecretsRequest(), timeout=seconds)
    if as_json:
        from services.gateway.secrets import secret_list

        print_json(secret_list(answer))
        return
    if not answer.secrets:
        note("no secrets")
    for found in answer.secrets:
        hosts = ", ".join(found.hosts) or "nowhere: FLOW_SECRETS_HOSTS does not name it"
        print(f"{found.name}  {found.source}  {hosts}")


@secret.command("delete")
def delete_secret(name: NameArgument) -> None:
    """Forget a secret. Steps that name it fail from now on."""
    from flow_engine.v1 import secret_pb2 as pb

    with calls() as (executor, seconds):
        executor.secrets.DeleteSecret(pb.DeleteSecretRequest(name=name), timeout=seconds)
    print(f"{name} deleted")


@secret.command("key")
def new_key() -> None:
    """Print a new key for FLOW_SECRETS_KEY. In front of the present ones it takes their place."""
    from services.executor.secrets.keyring import new_key

    print(new_key())


def _value(name: str) -> str:
    if sys.stdin.isatty():
        value: str = typer.prompt(f"value of {name}", hide_input=True)
        return value
    try:
        text = sys.stdin.buffer.read().decode()
    except UnicodeDecodeError as error:
        raise BadUse("the value is not UTF-8") from error
    return text.removesuffix("\n").removesuffix("\r")
