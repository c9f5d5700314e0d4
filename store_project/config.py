"""Configuration from the environment and `.env`, typed; every mistake is reported at once.

A variable is the field's name in capitals. Empty or absent means the embedded default. The web side
loads StoreConfig; MInsightConfig, which holds the compute credentials, is loaded by workers only.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from django.core.exceptions import ImproperlyConfigured
from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    SecretStr,
    ValidationError,
    field_validator,
    model_validator,
)
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from store_project import secret_files
from store_project.secret_files import SecretFiles

BASE_DIR = Path(__file__).resolve().parent.parent


class ConfigError(ImproperlyConfigured):
    """Lists every variable that is wrong, and what would be right."""


def _starts_with(*schemes: str) -> AfterValidator:
    def check(value: str) -> str:
        if value and not value.startswith(tuple(f"{scheme}://" for scheme in schemes)):
            allowed = " or ".join(f"{scheme}://" for scheme in schemes)
            raise ValueError(f"must start with {allowed}, or be empty")
        return value

    return AfterValidator(check)


def _expand(path: Path) -> Path:
    try:
        return path.expanduser()
    except RuntimeError as error:  # ~somebody who has no home
        raise ValueError(str(error)) from None


def _trim(names: str) -> str:
    return ",".join(name.strip() for name in names.split(",") if name.strip())


def _no_url(host: str) -> str:
    if set(host) & set("/@ ") or host.count(":") == 1:  # more of them are an IPv6 address
        raise ValueError("must be the name or address of a host and no more, or be empty")
    return host


LocalPath = Annotated[Path, AfterValidator(_expand)]
Names = Annotated[str, AfterValidator(_trim)]
HostName = Annotated[str, AfterValidator(_no_url)]
Port = Annotated[int, Field(ge=1, le=65535)]
Unit = Annotated[float, Field(ge=0, le=1)]
VectorSize = Annotated[int, Field(ge=2, le=65536)]

DatabaseUrl = Annotated[str, _starts_with("postgresql", "postgres", "sqlite")]
BrokerUrl = Annotated[str, _starts_with("redis", "rediss", "amqp", "amqps", "memory", "filesystem")]
HttpUrl = Annotated[str, _starts_with("http", "https"), AfterValidator(lambda url: url.rstrip("/"))]


class QdrantCollectionsConfig(BaseModel):
    """Names of the three collections, as JSON: QDRANT_COLLECTIONS='{"clip": "my_clip"}'."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    clip: str = Field(default="clip_embeddings", min_length=1)
    dino: str = Field(default="dino_embeddings", min_length=1)
    face: str = Field(default="face_embeddings", min_length=1)

    @model_validator(mode="after")
    def _distinct(self) -> QdrantCollectionsConfig:
        if len({self.clip, self.dino, self.face}) < len(type(self).model_fields):
            raise ValueError("the three collections need three names")
        return self


class BaseConfig(BaseSettings):
    model_config = SettingsConfigDict(env_ignore_empty=True, extra="ignore", frozen=True)

    cl_server_dir: LocalPath = BASE_DIR / "data"
    media_storage_dir: LocalPath = Path("media")
    public_key_path: LocalPath = Path("keys/public_key.pem")
    auth_disabled: bool = False

    secret_key: SecretStr = SecretStr("")
    debug: bool = False
    allowed_hosts: Names = "*"
    csrf_trusted_origins: Names = ""
    log_format: Literal["text", "json"] = "text"
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"

    database_url: DatabaseUrl = ""
    database_password: SecretStr = SecretStr("")
    celery_broker_url: BrokerUrl = ""

    qdrant_url: HttpUrl = ""
    qdrant_api_key: SecretStr = SecretStr("")
    qdrant_prefer_grpc: bool = False
    qdrant_timeout_seconds: float = Field(default=10.0, gt=0)
    qdrant_collections: Annotated[QdrantCollectionsConfig, NoDecode] = QdrantCollectionsConfig()
    clip_vector_size: VectorSize = 512
    dino_vector_size: VectorSize = 384
    face_vector_size: VectorSize = 512

    mqtt_broker: HostName = ""
    mqtt_port: Port = 1883
    mqtt_username: str = ""
    mqtt_password: SecretStr = SecretStr("")
    mqtt_topic_port: Port | None = None

    max_image_pixels: int = Field(default=200_000_000, ge=1)
    min_free_bytes: int = Field(default=1024**3, ge=0)
    models_dir: LocalPath = Path("models")

    audit_grace_seconds: int = Field(default=3600, ge=0)
    quarantine_days: int = Field(default=30, ge=1)
    trash_retention_days: int = Field(default=0, ge=0)

    compute_delete_ended_jobs: bool = True
    compute_timeout_seconds: float = Field(default=120.0, gt=0)
    compute_job_deadline_seconds: int = Field(default=900, ge=1)
    compute_queue_deadline_seconds: int = Field(default=21_600, ge=1)
    job_silence_seconds: float = Field(default=30.0, gt=0)

    @field_validator("cl_server_dir")
    @classmethod
    def _absolute(cls, value: Path) -> Path:
        return value.absolute()

    @field_validator("qdrant_collections", mode="before")
    @classmethod
    def _from_json(cls, value: Any) -> Any:
        try:
            return json.loads(value) if isinstance(value, str) else value
        except json.JSONDecodeError as error:
            raise ValueError(f"must be JSON: {error}") from None

    def under_server_dir(self, path: Path) -> Path:
        """A relative path belongs to the server's folder; an absolute one stands for itself."""
        return self.cl_server_dir / path

    @property
    def media_root(self) -> Path:
        return self.under_server_dir(self.media_storage_dir)

    @property
    def models_root(self) -> Path:
        return self.under_server_dir(self.models_dir)

    @property
    def public_key_file(self) -> Path:
        return self.under_server_dir(self.public_key_path)


class StoreConfig(BaseConfig):
    server_port: Port = 8001
    server_threads: int = Field(default=8, ge=1, le=256)
    max_upload_bytes: int = Field(default=10 * 1024**3, ge=1)
    media_open: bool = False
    https: bool = False
    proxies: int = Field(default=0, ge=0, le=10)
    anonymous_reads_per_minute: int = Field(default=1200, ge=0)
    upload_bytes_per_day: int = Field(default=0, ge=0)
    metrics_token: SecretStr = SecretStr("")
    first_admin_username: str = ""
    first_admin_password: SecretStr = SecretStr("")


class MInsightConfig(BaseConfig):
    auth_service_url: HttpUrl = ""
    compute_service_url: HttpUrl = ""
    compute_username: str = ""
    compute_password: SecretStr = SecretStr("")
    compute_service_models: str = Field(default="remote", pattern=r"^[a-z0-9][a-z0-9_-]{0,31}$")
    compute_backend: Literal["local", "fake"] = "local"
    compute_threads: int = Field(default=1, ge=1, le=64)
    inference_concurrency: int = Field(default=0, ge=0, le=256)
    model_idle_seconds: float = Field(default=300.0, gt=0)
    face_detection_model: str = ""
    face_embedding_model: str = ""
    clip_model: str = ""
    dino_model: str = ""

    face_detection_threshold: Unit = 0.7
    face_detection_nms: Unit = 0.4


Config = TypeVar("Config", bound=BaseConfig)


def load(config: type[Config]) -> Config:
    """Raises ConfigError naming every wrong variable of every part, not only of the part asked for.

    ENV_FILE names another file than the project's `.env`; empty means none.
    """
    secrets = _secret_files(config)
    try:
        if not secrets.mistakes:
            return _read(config, secrets)
    except ValidationError:
        pass
    raise ConfigError(_report())


def _read(config: type[Config], secrets: SecretFiles) -> Config:
    given: dict[str, Any] = secrets.values
    return config(_env_file=_env_file(), **given)


def _secret_files(config: type[BaseConfig]) -> SecretFiles:
    """Of what is secret, or may hold a password."""
    names = [
        name
        for name, field in config.model_fields.items()
        if field.annotation is SecretStr or name in {"database_url", "celery_broker_url"}
    ]
    return secret_files.read(names, _env_file())


def _env_file() -> Path | None:
    named = os.environ.get("ENV_FILE")
    if named is None:
        return BASE_DIR / ".env"
    if named and not Path(named).is_file():
        raise ConfigError(f"ENV_FILE: there is no file {named}")
    return Path(named) if named else None


def _report() -> str:
    lines = sorted({line for part in (StoreConfig, MInsightConfig) for line in _mistakes(part)})
    return "\n".join(["The configuration is wrong (environment or .env):", *lines, "See .env.example."])


def _mistakes(config: type[BaseConfig]) -> list[str]:
    secrets = _secret_files(config)
    try:
        _read(config, secrets)
    except ValidationError as error:
        return [*secrets.mistakes, *(_describe(mistake) for mistake in error.errors(include_url=False))]
    return secrets.mistakes


def _describe(mistake: Any) -> str:
    variable, *inside = (str(part) for part in mistake["loc"])
    name = variable.upper() + "".join(f"[{part}]" for part in inside)
    wrong = mistake["msg"].removeprefix("Value error, ")
    return f"  {name}: {wrong}; got {_show(variable, mistake['input'])}"


def _show(variable: str, value: Any) -> str:
    """Not the secrets, nor anything that may be a URL with a password in it."""
    shown = json.dumps(value, default=str)
    secret = any(word in variable for word in ("password", "secret", "api_key", "token"))
    return "(not shown)" if secret or "@" in shown else shown
