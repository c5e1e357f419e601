"""`python -m services.gateway [--insecure]`: runs the gateway as the environment says."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Sequence

import structlog
import uvloop

from services.gateway.bootstrap import serve
from services.gateway.settings import SettingsRefused, settings_from

EXIT_CONFIG = 78


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit code 0 after SIGTERM, 78 when the settings are refused, 2 for arguments it does not know."""
    arguments = sys.argv[1:] if arguments is None else arguments
    if set(arguments) - {"--insecure"}:
        print("usage: python -m services.gateway [--insecure]", file=sys.stderr)
        return 2
    log_as_json_lines()
    environment = {**os.environ, **({"FLOW_INSECURE": "1"} if arguments else {})}
    try:
        uvloop.run(serve(settings_from(environment), announce))
    except SettingsRefused as refused:
        print(refused, file=sys.stderr)
        return EXIT_CONFIG
    return 0


def announce(address: str) -> None:
    print(f"ready {address}", flush=True)


def log_as_json_lines() -> None:
    """Log records go to standard error, one JSON object a line."""
    logging.basicConfig(stream=sys.stderr, level=logging.WARNING, format="%(message)s")
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso"),
            structlog.processors.dict_tracebacks,
            structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )


if __name__ == "__main__":
    sys.exit(main())
