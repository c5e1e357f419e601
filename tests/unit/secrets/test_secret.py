from __future__ import annotations

import pytest

from flow_engine.secrets.secret import Secret, secret_problems


@pytest.mark.parametrize(
    ("hosts", "host", "may"),
    [
        (("api.example.com",), "api.example.com", True),
        (("api.example.com",), "API.Example.COM.", True),
        (("api.example.com",), "evil-api.example.com", False),
        (("api.example.com",), "api.example.com.evil.example", False),
        (("*.example.com",), "a.b.example.com", True),
        (("*.example.com",), "example.com", False),
        (("*.example.com",), "notexample.com", False),
        (("127.0.0.1",), "127.0.0.1", True),
        (("127.0.0.1",), "[::ffff:127.0.0.1]", True),
        (("127.0.0.1",), "127.0.0.2", False),
        (("*",), "anywhere.example", True),
        ((), "anywhere.example", False),
    ],
)
def test_a_secret_goes_to_its_hosts_only(hosts: tuple[str, ...], host: str, may: bool) -> None:
    assert Secret("value", hosts).may_go_to(host) is may


def test_a_secret_does_not_show_itself() -> None:
    assert "hunter2" not in repr(Secret("hunter2", ("*",)))


@pytest.mark.parametrize(
    ("name", "value", "hosts", "path"),
    [
        ("1st", "value", ["a.example"], "/name"),
        ("a-b", "value", ["a.example"], "/name"),
        ("", "value", ["a.example"], "/name"),
        ("a" * 129, "value", ["a.example"], "/name"),
        ("ok", "abc", ["a.example"], "/value"),
        ("ok", "x" * (64 * 1024 + 1), ["a.example"], "/value"),
        ("ok", "val\0ue", ["a.example"], "/value"),
        ("ok", "value", [], "/hosts"),
        ("ok", "value", ["a.example"] * 101, "/hosts"),
        ("ok", "value", ["a.example", "http://b.example"], "/hosts/1"),
        ("ok", "value", ["a b"], "/hosts/0"),
        ("ok", "value", ["a.*.example"], "/hosts/0"),
    ],
)
def test_what_is_wrong_is_told_by_field_and_without_the_value(
    name: str, value: str, hosts: list[str], path: str
) -> None:
    problems = secret_problems(name, value, hosts)
    assert [problem.path for problem in problems] == [path]
    assert value not in str(problems[0]) or len(value) < 4


def test_what_is_right_has_no_problems() -> None:
    hosts = ["api.example.com", "*.example.com", "*", "10.0.0.1", "::1", "[::1]", "my_host"]
    assert secret_problems("API_KEY", "value", hosts) == []
