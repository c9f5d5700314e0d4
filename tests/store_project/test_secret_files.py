"""Secrets by file, beside those in the environment."""

from __future__ import annotations

from pathlib import Path

import pytest

from store_project.config import ConfigError, MInsightConfig, StoreConfig, load


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    path = tmp_path / "secret"
    path.write_text(" hunter 2 \n")
    return path


def test_it_works(secret: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As it is, but for the line's end that editors add."""
    monkeypatch.setenv("SECRET_KEY_FILE", str(secret))
    monkeypatch.setenv("COMPUTE_PASSWORD_FILE", str(secret))
    assert load(StoreConfig).secret_key.get_secret_value() == " hunter 2 "
    assert load(MInsightConfig).compute_password.get_secret_value() == " hunter 2 "


def test_a_file_of_variables_can_name_it(
    secret: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    variables = tmp_path / "variables"
    variables.write_text(f"METRICS_TOKEN_FILE={secret}\n")
    monkeypatch.setenv("ENV_FILE", str(variables))
    assert load(StoreConfig).metrics_token.get_secret_value() == " hunter 2 "


def test_a_url_with_a_password(secret: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    secret.write_text("postgresql://store:hunter2@db/store")
    monkeypatch.delenv("DATABASE_URL", raising=False)
    monkeypatch.setenv("DATABASE_URL_FILE", str(secret))
    assert load(StoreConfig).database_url == "postgresql://store:hunter2@db/store"


def test_both_is_a_mistake(secret: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET_KEY", "another")
    monkeypatch.setenv("SECRET_KEY_FILE", str(secret))
    with pytest.raises(ConfigError, match="SECRET_KEY_FILE: SECRET_KEY is set as well") as raised:
        load(StoreConfig)
    assert "hunter" not in str(raised.value)
    assert "another" not in str(raised.value)


def test_every_mistake_is_told_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET_KEY_FILE", str(tmp_path / "nowhere"))
    monkeypatch.setenv("METRICS_TOKEN_FILE", str(tmp_path))
    monkeypatch.setenv("SERVER_PORT", "none")
    with pytest.raises(ConfigError) as raised:
        load(StoreConfig)
    told = str(raised.value)
    assert "nowhere cannot be read: No such file or directory" in told
    assert "METRICS_TOKEN_FILE" in told
    assert "SERVER_PORT" in told


def test_what_a_file_holds_is_checked_and_not_shown(secret: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    secret.write_text("mysql://store:hunter2@db/store")
    monkeypatch.delenv("DATABASE_URL", raising=False)
    monkeypatch.setenv("DATABASE_URL_FILE", str(secret))
    with pytest.raises(ConfigError, match="DATABASE_URL: must start with postgresql://") as raised:
        load(StoreConfig)
    assert "hunter2" not in str(raised.value)


def test_an_empty_name_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET_KEY_FILE", "")
    assert load(StoreConfig).secret_key.get_secret_value() == ""
