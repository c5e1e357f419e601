from __future__ import annotations

from ipaddress import ip_address
from pathlib import Path

import pytest

from flow_engine.egress.rules import CLOSED, egress_rules, opened
from flow_engine.environment import EnvironmentReader, WrongSettings
from services.executor.settings import from_environment as executor_settings
from services.worker.settings import from_environment as worker_settings


def test_an_endpoint_opens_one_port_of_one_host() -> None:
    rules = opened("db.internal:5432, [::1]:8080 127.0.0.1:80")
    assert rules.names("DB.internal.", 5432)
    assert not rules.names("db.internal", 5433)
    assert not rules.names("internal", 5432)
    assert rules.opens(ip_address("::1"), 8080)
    assert rules.opens(ip_address("::ffff:127.0.0.1"), 80)
    assert not rules.opens(ip_address("127.0.0.1"), 81)


def test_a_network_opens_every_port_but_never_a_metadata_service() -> None:
    rules = opened("10.0.0.0/8 169.254.0.0/16 192.168.7.9")
    assert rules.why_closed(ip_address("10.1.2.3")) == ""
    assert rules.why_closed(ip_address("::ffff:10.1.2.3")) == ""
    assert rules.why_closed(ip_address("192.168.7.9")) == ""
    assert rules.why_closed(ip_address("192.168.7.8"))
    assert rules.why_closed(ip_address("169.254.169.254")) == "a cloud's metadata service"
    assert opened("169.254.169.254:80").opens(ip_address("169.254.169.254"), 80)


@pytest.mark.parametrize(
    "wrong", ["localhost", "10.0.0.0/40", "host:port", "host:99999", "*:80/x", "http://a"]
)
def test_a_wrong_entry_is_named(wrong: str) -> None:
    read = EnvironmentReader({"FLOW_EGRESS_ALLOW": f"10.0.0.0/8 {wrong}"})
    assert egress_rules(read) == CLOSED
    (problem,) = read.problems
    assert "FLOW_EGRESS_ALLOW" in problem
    assert repr(wrong) in problem


def test_executor_and_worker_read_the_same_setting(tmp_path: Path) -> None:
    environment = {
        "FLOW_DATA_DIR": str(tmp_path),
        "REDIS_URL": "redis://:x@redis.internal/0",
        "DATABASE_URL": "postgresql://u:p@db.internal/flow",
        "FLOW_GRPC_ADDRESS": "127.0.0.1:50051",
        "FLOW_EGRESS_ALLOW": "10.0.0.0/8",
    }
    for rules in (executor_settings(environment).egress, worker_settings(environment).egress):
        assert rules.own == {
            ("redis.internal", 6379),
            ("db.internal", 5432),
            ("127.0.0.1", 50051),
            ("127.0.0.1", 8080),
        }
        assert [str(network) for network in rules.networks] == ["10.0.0.0/8"]
    for read in (executor_settings, worker_settings):
        with pytest.raises(WrongSettings, match="FLOW_EGRESS_ALLOW"):
            read({**environment, "FLOW_EGRESS_ALLOW": "everything"})


def test_nothing_is_open_unasked() -> None:
    environment = {"REDIS_URL": "redis://127.0.0.1"}
    for rules in (executor_settings(environment).egress, worker_settings(environment).egress):
        assert (rules.endpoints, rules.networks) == (frozenset(), ())
