"""What a process does without: each start pays for what is imported, needed or not."""

from __future__ import annotations

import subprocess
import sys

import pytest

SERVICE = "from flow_engine.lean import lean_imports\nwith lean_imports(): import services.{}"
HELP = "from services.cli.__main__ import exit_code_of\nassert exit_code_of(['--help']) == 0"
WITHOUT = [
    (HELP, "grpc rich.live httpx sqlalchemy structlog services.executor services.worker services.gateway"),
    (
        SERVICE.format("gateway.__main__"),
        "sqlalchemy redis httpx pydantic rich pygments flow_engine.nodes.contract",
    ),
    (SERVICE.format("worker.__main__"), "sqlalchemy psycopg rich pygments aiohttp opentelemetry"),
    (
        SERVICE.format("executor.service"),
        "alembic sqlalchemy.orm cryptography.hazmat jwt rich pygments aiohttp opentelemetry",
    ),
]


@pytest.mark.parametrize(("code", "absent"), WITHOUT, ids=["help", "gateway", "worker", "executor"])
def test_only_what_is_used_is_imported(code: str, absent: str) -> None:
    told = f"{code}\nimport sys; print(*sys.modules, sep='\\n')"
    done = subprocess.run([sys.executable, "-c", told], capture_output=True, text=True, check=True)
    assert set(absent.split()) & set(done.stdout.splitlines()) == set()


def test_what_was_left_out_can_be_imported_afterwards() -> None:
    code = f"{SERVICE.format('worker.__main__')}\nimport aiohttp, rich, opentelemetry; aiohttp.TCPConnector"
    subprocess.run([sys.executable, "-c", code], check=True)
