"""`flow`, the command line. Every error ends here, as a few lines and an exit code."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import NoReturn

from services.cli.errors import CommandError, ExitCode


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    sys.exit(exit_code_of(arguments))


def exit_code_of(arguments: Sequence[str] | None) -> int:
    """Run the command line and give its exit code; what went wrong is on standard error."""
    from services.cli.app import app

    try:
        code = app(arguments, prog_name="flow", standalone_mode=False)
        sys.stdout.flush()
        return code if isinstance(code, int) else ExitCode.OK
    except BrokenPipeError:  # whoever read our output has seen enough
        sys.stdout = None
        return ExitCode.OK
    except KeyboardInterrupt:
        return ExitCode.INTERRUPTED
    except Exception as error:
        ending = ending_of(error)
        if ending is None:
            raise
        if ending.message:  # without one, help was printed already
            print(ending.text(), file=sys.stderr)
        return ending.exit_code


def ending_of(error: Exception) -> CommandError | None:
    """What the user is told; None for a mistake of ours."""
    if isinstance(error, CommandError):
        return error
    if hasattr(error, "format_message") and hasattr(error, "exit_code"):  # a command line that typer refused
        return wrong_usage(error)
    grpc = sys.modules.get("grpc")
    if grpc and isinstance(error, grpc.RpcError):
        from services.cli.errors import explained
        from services.cli.settings import ClientSettings

        return explained(error, ClientSettings.read().grpc_address)
    return None


def wrong_usage(error: Exception) -> CommandError:
    from services.cli.errors import BadUse

    context = getattr(error, "ctx", None)
    message = str(error.format_message())  # type: ignore[attr-defined]
    path = context.command_path if context else "flow"
    return BadUse(message[:1].lower() + message[1:], [f"see: {path} --help"])


if __name__ == "__main__":
    main()
