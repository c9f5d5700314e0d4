from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from django.contrib.auth import authenticate
from django.contrib.auth.models import User
from django.test import override_settings
from pydantic import SecretStr

from store_project import accounts
from store_project.accounts import ensure_first_admin
from store_project.config import ConfigError, StoreConfig, load

PASSWORD = "correct horse battery"


@pytest.fixture(autouse=True)
def _fast_hashes() -> Iterator[None]:
    with override_settings(PASSWORD_HASHERS=["django.contrib.auth.hashers.MD5PasswordHasher"]):
        yield


def names() -> list[str]:
    return list(User.objects.values_list("username", flat=True))


@pytest.mark.django_db
def test_nobody_is_made_by_default() -> None:
    ensure_first_admin(username="", password="")
    assert names() == []


@pytest.mark.django_db
def test_the_first_admin_can_log_in_everywhere() -> None:
    ensure_first_admin(username="ada", password=PASSWORD)
    user = authenticate(username="ada", password=PASSWORD)
    assert isinstance(user, User)
    assert user.is_superuser
    assert user.is_staff


@pytest.mark.django_db
def test_what_is_there_is_left_alone() -> None:
    User.objects.create_superuser("root", password="secret of root")
    for username in ("root", "ada"):
        ensure_first_admin(username=username, password=PASSWORD)
    assert names() == ["root"]
    assert User.objects.get().check_password("secret of root")


@pytest.mark.django_db
def test_an_ordinary_user_is_not_raised() -> None:
    User.objects.create_user("ada", password="secret of ada")
    with pytest.raises(ConfigError, match=r"FIRST_ADMIN_USERNAME: ada exists and is no administrator"):
        ensure_first_admin(username="ada", password=PASSWORD)
    user = User.objects.get()
    assert not user.is_superuser
    assert user.check_password("secret of ada")


@pytest.mark.django_db
@pytest.mark.parametrize(("username", "password"), [("ada", ""), ("", PASSWORD)])
def test_half_an_answer_is_a_mistake(username: str, password: str) -> None:
    with pytest.raises(ConfigError, match="go together"):
        ensure_first_admin(username=username, password=password)


@pytest.mark.django_db
@pytest.mark.parametrize("password", ["admin", "password1", "adalovelace"])
def test_a_password_that_is_guessed_is_a_mistake(password: str) -> None:
    with pytest.raises(ConfigError, match="FIRST_ADMIN_PASSWORD: ") as raised:
        ensure_first_admin(username="adalovelace", password=password)
    assert password not in str(raised.value).removeprefix("FIRST_ADMIN_PASSWORD")
    assert names() == []


@pytest.mark.django_db
def test_starting_makes_keys_and_admin(public_key: Path) -> None:
    config = load(StoreConfig).model_copy(
        update={"first_admin_username": "ada", "first_admin_password": SecretStr(PASSWORD)}
    )
    with override_settings(CONFIG=config):
        for _ in range(2):
            accounts.prepare()
    assert names() == ["ada"]
    assert public_key.exists()


def test_the_password_is_shown_to_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FIRST_ADMIN_PASSWORD", PASSWORD)
    assert PASSWORD not in repr(load(StoreConfig))


@pytest.mark.django_db
def test_servers_that_start_at_once_make_one_admin(monkeypatch: pytest.MonkeyPatch) -> None:
    def meanwhile(username: str, password: str) -> None:
        User.objects.create_superuser(username, password=password)

    monkeypatch.setattr(accounts, "_check_password", meanwhile)
    ensure_first_admin(username="ada", password=PASSWORD)
    assert names() == ["ada"]
