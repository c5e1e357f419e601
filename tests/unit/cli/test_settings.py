from __future__ import annotations

from pathlib import Path

import pytest

from services.cli.errors import BadConfiguration, ExitCode
from services.cli.settings import Address, ClientSettings, StackSettings


def test_defaults_are_loopback_and_the_folder_here() -> None:
    settings = StackSettings.read({})

    assert str(settings.http_address) == "127.0.0.1:8080"
    assert str(settings.grpc_address) == "127.0.0.1:50051"
    assert settings.data_dir == Path(".flow").resolve()
    assert settings.workers == 1
    assert settings.redis_url == ""


def test_options_win_over_the_environment() -> None:
    environment = {"FLOW_HTTP_ADDRESS": "127.0.0.1:1", "FLOW_WORKERS": "3"}

    settings = StackSettings.read(environment, http="127.0.0.1:0", workers=0)

    assert settings.http_address.port == 0
    assert settings.workers == 0


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("FLOW_HTTP_ADDRESS", "nowhere"),
        ("FLOW_HTTP_ADDRESS", "127.0.0.1:99999"),
        ("FLOW_GRPC_ADDRESS", ":50051"),
        ("FLOW_WORKERS", "many"),
        ("FLOW_WORKERS", "0"),
    ],
)
def test_a_wrong_value_is_reported_by_its_variable(variable: str, value: str) -> None:
    with pytest.raises(BadConfiguration, match=variable) as refusal:
        StackSettings.read({variable: value})
    assert refusal.value.exit_code == ExitCode.CONFIGURATION


def test_clients_dial_loopback_where_the_executor_listens_everywhere() -> None:
    assert ClientSettings.read({"FLOW_GRPC_ADDRESS": "0.0.0.0:7"}).grpc_address == "127.0.0.1:7"
    assert ClientSettings.read({"FLOW_GRPC_ADDRESS": "[::]:7"}).grpc_address == "[::1]:7"


def test_ipv6_addresses_keep_their_brackets() -> None:
    address = Address.parse("[::1]:8080", "FLOW_HTTP_ADDRESS")

    assert (address.host, address.port) == ("::1", 8080)
    assert str(address) == "[::1]:8080"
