"""`python -m services.gateway [--insecure]`: runs the gateway as the environment says."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

from flow_engine.lean import collect_rarely, lean_imports

with lean_imports():
    import uvloop

    from flow_engine.environment import EXIT_CONFIGURATION, WrongSettings
    from flow_engine.logs import configure_logs
    from flow_engine.tracing import configure_tracing
    from services.gateway.bootstrap import serve
    from services.gateway.settings import from_environment


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit code 0 after SIGTERM, 78 when the settings are refused, 2 for arguments it does not know."""
    arguments = sys.argv[1:] if arguments is None else arguments
    if set(arguments) - {"--insecure"}:
        print("usage: python -m services.gateway [--insecure]", file=sys.stderr)
        return 2
    environment = {**os.environ, **({"FLOW_INSECURE": "1"} if arguments else {})}
    try:
        settings = from_environment(environment)
        configure_logs(settings.log_level)
        configure_tracing("flow-gateway")
        uvloop.run(serve(settings, announce))
    except WrongSettings as wrong:
        print(wrong, file=sys.stderr)
        return EXIT_CONFIGURATION
    return 0


def announce(address: str) -> None:
    collect_rarely()
    print(f"ready {address}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
