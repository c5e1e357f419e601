from __future__ import annotations

from pathlib import Path

import pytest

from flow_engine.environment import WrongSettings
from services.executor.settings import from_environment

REDIS = {"REDIS_URL": "redis://127.0.0.1/0"}


def test_the_defaults_live_in_the_data_folder() -> None:
    settings = from_environment({**REDIS, "FLOW_DATA_DIR": "/data"})
    assert settings.database_url == "sqlite:////data/flow.db"
    assert settings.grpc_address == "127.0.0.1:50051"
    assert (settings.lease_seconds, settings.immediate_lease_seconds) == (30.0, 10.0)


def test_the_embedded_server_is_found_by_its_file(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "redis.url").write_text("redis://:x@127.0.0.1:7/0")
    assert from_environment({"FLOW_DATA_DIR": str(tmp_path)}).redis_url == "redis://:x@127.0.0.1:7/0"


def test_every_wrong_variable_is_named_at_once() -> None:
    wrong = {"FLOW_GRPC_ADDRESS": "[::]:1", "FLOW_LEASE_SECONDS": "-1", "FLOW_IMMEDIATE_CONCURRENCY": "x"}
    with pytest.raises(WrongSettings) as refused:
        from_environment(wrong)
    told = str(refused.value).splitlines()
    names = ("FLOW_LEASE_SECONDS", "FLOW_IMMEDIATE_CONCURRENCY", "REDIS_URL", "FLOW_INSECURE=1")
    assert all(any(name in line for line in told) for name in names)


def test_the_loopback_needs_no_permission() -> None:
    for address in ("127.0.0.1:0", "localhost:1", "[::1]:1"):
        assert not from_environment({**REDIS, "FLOW_GRPC_ADDRESS": address}).insecure
    opened = {**REDIS, "FLOW_GRPC_ADDRESS": "0.0.0.0:1", "FLOW_INSECURE": "1"}
    assert from_environment(opened).grpc_host == "0.0.0.0"
