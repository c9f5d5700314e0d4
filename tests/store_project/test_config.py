from __future__ import annotations

import re
from itertools import pairwise
from pathlib import Path

import pytest
from pydantic import SecretStr

from store_project.config import (
    BASE_DIR,
    BaseConfig,
    ConfigError,
    MInsightConfig,
    QdrantCollectionsConfig,
    StoreConfig,
    load,
)
from tests.processes import Manage

FIELDS = {*StoreConfig.model_fields, *MInsightConfig.model_fields}
EXAMPLE = (BASE_DIR / ".env.example").read_text()


@pytest.fixture(autouse=True)
def _nothing_configured(monkeypatch: pytest.MonkeyPatch) -> None:
    for field in FIELDS:
        monkeypatch.delenv(field.upper(), raising=False)
    monkeypatch.setenv("ENV_FILE", "")


def report(part: type[BaseConfig] = StoreConfig) -> list[str]:
    """The lines of the report but the first and the last, which frame it."""
    with pytest.raises(ConfigError) as raised:
        load(part)
    return str(raised.value).splitlines()[1:-1]


def test_everything_is_embedded_by_default() -> None:
    config = load(StoreConfig)
    assert config.cl_server_dir == BASE_DIR / "data"
    assert config.media_root == BASE_DIR / "data" / "media"
    assert config.public_key_file == BASE_DIR / "data" / "keys" / "public_key.pem"
    assert (config.database_url, config.celery_broker_url, config.qdrant_url, config.mqtt_broker) == ("",) * 4
    assert (config.clip_vector_size, config.dino_vector_size, config.face_vector_size) == (512, 384, 512)
    assert config.server_port == 8001
    assert not config.auth_disabled


def test_variables_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://store@db/store")
    monkeypatch.setenv("AUTH_DISABLED", "yes")
    monkeypatch.setenv("COMPUTE_BACKEND", "fake")
    config = load(MInsightConfig)
    assert config.database_url == "postgresql://store@db/store"
    assert config.auth_disabled
    assert config.compute_backend == "fake"


@pytest.mark.parametrize("field", sorted(FIELDS))
def test_empty_means_default(field: str, monkeypatch: pytest.MonkeyPatch) -> None:
    part = StoreConfig if field in StoreConfig.model_fields else MInsightConfig
    default = load(part)
    monkeypatch.setenv(field.upper(), "")
    assert load(part) == default


@pytest.mark.parametrize(
    ("variable", "value", "complaint"),
    [
        ("AUTH_DISABLED", "maybe", "valid boolean"),
        ("AUTH_SERVICE_URL", "auth:8010", "must start with http:// or https://"),
        ("CELERY_BROKER_URL", "localhost:6379", "must start with redis://"),
        ("CL_SERVER_DIR", "~nobody-of-that-name/store", "home directory"),
        ("CLIP_VECTOR_SIZE", "1", "greater than or equal to 2"),
        ("COMPUTE_BACKEND", "gpu", "'local' or 'fake'"),
        ("DATABASE_URL", "mysql://db/store", "must start with postgresql://"),
        ("FACE_DETECTION_THRESHOLD", "70", "less than or equal to 1"),
        ("LOG_LEVEL", "verbose", "'DEBUG', 'INFO', 'WARNING' or 'ERROR'"),
        ("MAX_UPLOAD_BYTES", "10GB", "valid integer"),
        ("MQTT_BROKER", "mqtt://broker", "name or address of a host"),
        ("MQTT_BROKER", "broker:1883", "name or address of a host"),
        ("MQTT_PORT", "70000", "less than or equal to 65535"),
        ("QDRANT_COLLECTIONS", "clip", "must be JSON: Expecting value"),
        ("QDRANT_COLLECTIONS", '["clip"]', "valid dictionary"),
        ("QDRANT_COLLECTIONS", '{"clip": "same", "dino": "same"}', "need three names"),
        ("QDRANT_COLLECTIONS[audio]", '{"audio": "audio"}', "Extra inputs"),
        ("QDRANT_COLLECTIONS[face]", '{"face": ""}', "at least 1 character"),
        ("QDRANT_TIMEOUT_SECONDS", "0", "greater than 0"),
        ("QDRANT_URL", "qdrant:6333", "must start with http:// or https://"),
    ],
)
def test_a_mistake_is_named(
    variable: str, value: str, complaint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable.partition("[")[0], value)
    part = StoreConfig if variable.partition("[")[0].lower() in StoreConfig.model_fields else MInsightConfig
    (line,) = report(part)
    assert line.startswith(f"  {variable}: ")
    assert complaint in line


@pytest.mark.parametrize("part", [StoreConfig, MInsightConfig])
def test_all_mistakes_of_all_parts_are_told_at_once(
    part: type[BaseConfig], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DEBUG", "maybe")  # of both parts, told once
    monkeypatch.setenv("COMPUTE_THREADS", "0")  # of the workers' part
    monkeypatch.setenv("SERVER_PORT", "http")  # of the web's part
    monkeypatch.setenv("QDRANT_COLLECTIONS", "{")
    if part is MInsightConfig:
        monkeypatch.setenv("SERVER_THREADS", "0")
    lines = report(part)
    names = [line.split(":")[0].strip() for line in lines]
    expected = {"DEBUG", "COMPUTE_THREADS", "SERVER_PORT", "QDRANT_COLLECTIONS"}
    assert sorted(names) == sorted(expected | ({"SERVER_THREADS"} if part is MInsightConfig else set()))


def test_the_web_side_starts_whatever_the_workers_were_given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COMPUTE_THREADS", "0")
    assert load(StoreConfig).server_port == 8001


def test_no_password_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgres:store:hunter2@db/store")
    (line,) = report()
    assert line.endswith("got (not shown)")
    monkeypatch.setenv("DATABASE_URL", "")
    monkeypatch.setenv("COMPUTE_PASSWORD", "hunter2")
    assert "hunter2" not in repr(load(MInsightConfig))


def test_relative_paths_belong_to_the_server_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CL_SERVER_DIR", str(tmp_path))
    monkeypatch.setenv("MEDIA_STORAGE_DIR", "photos/all")
    monkeypatch.setenv("PUBLIC_KEY_PATH", "/etc/store/key.pem")
    config = load(StoreConfig)
    assert config.media_root == tmp_path / "photos" / "all"
    assert config.public_key_file == Path("/etc/store/key.pem")


def test_the_server_dir_is_made_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CL_SERVER_DIR", "here")
    assert load(StoreConfig).cl_server_dir == tmp_path / "here"
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("CL_SERVER_DIR", "~/store")
    assert load(StoreConfig).cl_server_dir == tmp_path / "home" / "store"


def test_lists_and_urls_are_tidied(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALLOWED_HOSTS", "photos.example, localhost,")
    monkeypatch.setenv("COMPUTE_SERVICE_URL", "https://compute.example/")
    config = load(MInsightConfig)
    assert config.allowed_hosts == "photos.example,localhost"
    assert config.compute_service_url == "https://compute.example"


def test_collections_left_out_keep_their_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QDRANT_COLLECTIONS", '{"clip": "mine"}')
    assert load(StoreConfig).qdrant_collections == QdrantCollectionsConfig(clip="mine")


def test_the_environment_wins_over_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "store.env"
    file.write_text("MQTT_BROKER=from-the-file\nMQTT_PORT=1884\nPOSTGRES_PASSWORD=of-another-program\n")
    monkeypatch.setenv("ENV_FILE", str(file))
    monkeypatch.setenv("MQTT_PORT", "1885")
    config = load(StoreConfig)
    assert (config.mqtt_broker, config.mqtt_port) == ("from-the-file", 1885)


def test_a_file_that_is_named_must_be_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ENV_FILE", str(tmp_path / "missing.env"))
    with pytest.raises(ConfigError, match=r"ENV_FILE: there is no file .*missing\.env"):
        load(StoreConfig)


def test_the_command_line_reports_mistakes_without_a_traceback(manage: Manage) -> None:
    done = manage("check", DEBUG="maybe", COMPUTE_SERVICE_URL="compute:8012")
    assert done.returncode == 2
    assert done.stdout == ""
    first, *mistakes, last = done.stderr.splitlines()
    assert first == "The configuration is wrong (environment or .env):"
    assert [line.split(":")[0] for line in mistakes] == ["  COMPUTE_SERVICE_URL", "  DEBUG"]
    assert last == "See .env.example."


def test_the_example_names_every_variable_once() -> None:
    names = re.findall(r"^#([A-Z_]+)=", EXAMPLE, re.MULTILINE)
    assert sorted(names) == sorted(field.upper() for field in FIELDS)


def test_the_example_explains_every_variable() -> None:
    for above, line in pairwise(EXAMPLE.splitlines()):
        if re.match(r"#[A-Z_]+=", line):
            assert above.startswith("# "), line


@pytest.mark.parametrize("part", [StoreConfig, MInsightConfig])
def test_the_example_shows_the_defaults(
    part: type[BaseConfig], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    default = load(part)
    shown = tmp_path / "uncommented.env"
    shown.write_text(re.sub(r"^#([A-Z_]+=)", r"\1", EXAMPLE, flags=re.MULTILINE))
    monkeypatch.setenv("ENV_FILE", str(shown))
    assert load(part) == default


def test_the_example_leaves_out_only_what_is_empty() -> None:
    shown_empty = set(re.findall(r"^#([A-Z_]+)=$", EXAMPLE, re.MULTILINE))
    defaults = {**StoreConfig.model_fields, **MInsightConfig.model_fields}
    empty = {name.upper() for name, field in defaults.items() if field.default in ("", None, SecretStr(""))}
    assert shown_empty == empty | {"CL_SERVER_DIR"}
