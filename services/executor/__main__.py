"""`python -m services.executor`: one executor process, configured by the environment."""

from __future__ import annotations

import os
import sys

from flow_engine.lean import lean_imports

with lean_imports():
    from flow_engine.environment import EXIT_CONFIGURATION, WrongSettings
    from flow_engine.logs import configure_logs
    from flow_engine.tracing import configure_tracing
    from services.executor.settings import from_environment


def main() -> int:
    try:
        settings = from_environment(os.environ)
    except WrongSettings as problem:
        print(f"executor: {problem}", file=sys.stderr)
        return EXIT_CONFIGURATION
    configure_logs(settings.log_level)
    with lean_imports():
        from services.executor.ahead import migrated_ahead

        with migrated_ahead(settings):
            from services.executor.service import run  # takes a while, and settings may be refused before
    configure_tracing("flow-executor")
    return run(settings)


if __name__ == "__main__":
    sys.exit(main())
