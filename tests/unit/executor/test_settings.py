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


def test_callback_urls_begin_where_the_gateway_is_unless_told_otherwise() -> None:
    assert from_environment(REDIS).public_url == "http://127.0.0.1:8080"
    listening = {**REDIS, "FLOW_HTTP_ADDRESS": "0.0.0.0:81"}
    assert from_environment(listening).public_url == "http://127.0.0.1:81"
    told = {**listening, "FLOW_PUBLIC_URL": "https://flow.example/engine/"}
    assert from_environment(told).public_url == "https://flow.example/engine"


def test_a_public_url_or_secret_of_no_use_is_refused_by_name() -> None:
    wrong = {**REDIS, "FLOW_PUBLIC_URL": "flow.example", "FLOW_CALLBACK_SECRET": "short"}
    with pytest.raises(WrongSettings) as refused:
        from_environment(wrong)
    for name in ("FLOW_PUBLIC_URL", "FLOW_CALLBACK_SECRET"):
        assert name in str(refused.value)
    assert "short" not in str(refused.value)
