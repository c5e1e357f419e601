from __future__ import annotations

from pathlib import Path

import pytest

from services.cli.errors import ExitCode
from tests.integration.cli.conftest import Flow


def test_the_database_is_upgraded_once_and_for_all(
    flow: Flow, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_URL", database_url)

    first = flow("db", "upgrade")
    again = flow("db", "upgrade")

    assert (first.code, again.code) == (ExitCode.OK, ExitCode.OK)
    assert first.out.startswith("the database is at schema ")
    assert first.out == again.out


def test_without_a_database_url_it_is_the_file_in_the_data_folder(
    flow: Flow, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("DATABASE_URL", raising=False)

    assert flow("db", "upgrade", "--data", str(tmp_path)).code == ExitCode.OK
    assert (tmp_path / "flow.db").exists()


def test_a_wrong_url_is_named_and_its_password_is_not(flow: Flow, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", "mysql://me:s3cret@db/flow")

    ended = flow("db", "upgrade")

    assert ended.code == ExitCode.CONFIGURATION
    assert "DATABASE_URL" in ended.err
    assert "s3cret" not in ended.err


def test_a_database_that_is_not_there_is_unreachable(flow: Flow, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://me@127.0.0.1:1/flow")

    ended = flow("db", "upgrade")

    assert ended.code == ExitCode.UNREACHABLE
    assert "does not answer" in ended.err
