from __future__ import annotations

from pathlib import Path

import pytest

from flow_engine.environment import WrongSettings
from flow_engine.errors import NoSecretsKey, SecretUnreadable
from flow_engine.secrets import Secret
from services.executor.secrets.keyring import KEY_FILE, Keyring, new_key
from services.executor.secrets.providers import EnvironmentSecrets, FileSecrets, hosts_of
from services.executor.settings import from_environment

SECRET = Secret("the value", ("a.example",))


def test_what_one_key_seals_it_opens_for_its_owner_only(tmp_path: Path) -> None:
    keyring = Keyring([new_key()], tmp_path, may_make=False)
    sealed, _ = keyring.seal("default", "NAME", SECRET)
    assert b"the value" not in sealed
    assert keyring.open("default", "NAME", sealed) == SECRET
    for namespace, name in (("other", "NAME"), ("default", "OTHER")):
        with pytest.raises(SecretUnreadable):
            keyring.open(namespace, name, sealed)
    with pytest.raises(SecretUnreadable):
        keyring.open("default", "NAME", sealed[:-3] + b"abc")
    assert not (tmp_path / KEY_FILE).exists()


def test_a_new_key_in_front_seals_and_the_old_one_still_opens(tmp_path: Path) -> None:
    old, new = new_key(), new_key()
    sealed, old_id = Keyring([old], tmp_path, may_make=False).seal("default", "NAME", SECRET)
    both = Keyring([new, old], tmp_path, may_make=False)
    assert both.open("default", "NAME", sealed) == SECRET
    resealed, new_id = both.seal("default", "NAME", SECRET)
    assert new_id == both.newest_id != old_id
    assert Keyring([new], tmp_path, may_make=False).open("default", "NAME", resealed) == SECRET
    with pytest.raises(SecretUnreadable, match="FLOW_SECRETS_KEY"):
        Keyring([new], tmp_path, may_make=False).open("default", "NAME", sealed)


def test_without_a_key_a_file_is_made_that_only_its_owner_reads(tmp_path: Path) -> None:
    sealed, _ = Keyring([], tmp_path, may_make=True).seal("default", "NAME", SECRET)
    assert (tmp_path / KEY_FILE).stat().st_mode & 0o777 == 0o600
    assert Keyring([], tmp_path, may_make=False).open("default", "NAME", sealed) == SECRET


def test_where_several_executors_share_a_database_none_makes_a_key_of_its_own(tmp_path: Path) -> None:
    keyring = Keyring([], tmp_path, may_make=False)
    with pytest.raises(NoSecretsKey, match="FLOW_SECRETS_KEY"):
        keyring.seal("default", "NAME", SECRET)
    with pytest.raises(SecretUnreadable):
        keyring.open("default", "NAME", b"anything")


def test_a_wrong_key_is_refused_by_name_and_not_told(tmp_path: Path) -> None:
    environment = {"REDIS_URL": "redis://127.0.0.1", "FLOW_SECRETS_KEY": f"{new_key()},swordfish"}
    with pytest.raises(WrongSettings, match="FLOW_SECRETS_KEY: key 2") as refused:
        from_environment(environment)
    assert "swordfish" not in str(refused.value)


async def test_secrets_of_the_environment_belong_to_the_default_namespace() -> None:
    environment = {"FLOW_SECRET_TOKEN": "value", "FLOW_SECRET_": "x", "FLOW_SECRETS_KEY": "y"}
    provider = EnvironmentSecrets(environment, hosts_of("TOKEN=A.example,*.b.example OTHER=c"))
    assert await provider.names("default") == {"TOKEN": ("a.example", "*.b.example")}
    assert await provider.get("default", "TOKEN") == Secret("value", ("a.example", "*.b.example"))
    assert await provider.get("other", "TOKEN") is None
    assert await provider.names("other") == {}


async def test_secrets_in_files_are_read_anew_and_lead_to_no_other_path(tmp_path: Path) -> None:
    folder = tmp_path / "secrets"
    (folder / "team").mkdir(parents=True)
    (folder / "TOKEN").write_text("value\n")
    (folder / "team" / "TOKEN").write_text("theirs")
    (folder / "team" / "TOKEN.hosts").write_text("a.example\nb.example\n")
    (tmp_path / "outside").write_text("outside")
    provider = FileSecrets(folder, {"TOKEN": ("c.example",)})
    assert await provider.get("default", "TOKEN") == Secret("value", ("c.example",))
    assert await provider.get("team", "TOKEN") == Secret("theirs", ("a.example", "b.example"))
    assert await provider.names("default") == {"TOKEN": ("c.example",)}
    for name in ("../outside", "team/TOKEN", "/etc/passwd", "TOKEN.hosts", "", "."):
        assert await provider.get("default", name) is None
    (folder / "TOKEN").write_text("changed")
    assert (await provider.get("default", "TOKEN")) == Secret("changed", ("c.example",))


@pytest.mark.parametrize("wrong", ["TOKEN", "TOKEN=", "=a.example", "1=a"])
def test_a_wrong_binding_is_named(wrong: str) -> None:
    with pytest.raises(ValueError, match="NAME=host"):
        hosts_of(f"OK=a {wrong}")
