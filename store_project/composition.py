"""Puts a worker's parts together from its configuration. Workers only: the web side has no credentials."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from django.conf import settings as django_settings
from django.db import DatabaseError

from intelligence import model_choices
from intelligence.compute.base import (
    ChosenModel,
    ComputeClient,
    ComputeError,
    ComputeSettings,
    ComputeUnavailableError,
    ServiceSettings,
    StartJobs,
)
from intelligence.vocabulary import TaskType
from store_project.config import ConfigError, MInsightConfig, load

if TYPE_CHECKING:  # httpx is an extra: it is loaded where it is asked for
    from intelligence.compute.remote import RemoteComputeClient


MODEL_SETTINGS = {
    TaskType.FACE_DETECTION: "face_detection_model",
    TaskType.FACE_EMBEDDING: "face_embedding_model",
    TaskType.CLIP_EMBEDDING: "clip_model",
    TaskType.DINO_EMBEDDING: "dino_model",
}
"""Which setting names the model of a task."""


def compute_settings(config: MInsightConfig) -> ComputeSettings:
    return ComputeSettings(
        spool=config.cl_server_dir / "compute",
        clip_dimension=config.clip_vector_size,
        dino_dimension=config.dino_vector_size,
        face_dimension=config.face_vector_size,
        face_detection_threshold=config.face_detection_threshold,
        face_detection_nms=config.face_detection_nms,
        max_image_pixels=config.max_image_pixels,
        threads=config.compute_threads,
        models_dir=config.models_root,
        read_chosen=partial(_read_chosen, _set_models(config)),
        idle_seconds=config.model_idle_seconds,
        image_seconds=django_settings.CELERY_TASK_SOFT_TIME_LIMIT,
    )


def _set_models(config: MInsightConfig) -> tuple[ChosenModel, ...]:
    named = {task: getattr(config, setting) for task, setting in MODEL_SETTINGS.items()}
    return tuple(ChosenModel(task, name) for task, name in named.items() if name)


def _read_chosen(in_settings: tuple[ChosenModel, ...]) -> tuple[ChosenModel, ...]:
    """A setting goes before what `manage.py models use` has chosen; that stays beside it."""
    try:
        choices = model_choices.read()
    except DatabaseError as error:
        raise ComputeUnavailableError(f"The database does not tell the models in use: {error}") from error
    return (*in_settings, *(ChosenModel(each.task, each.name, each.family) for each in choices))


def compute_client(start_jobs: StartJobs) -> ComputeClient:
    """The remote one where a service is named."""
    config = load(MInsightConfig)
    if config.compute_service_url:
        return remote_client(config, start_jobs)
    try:
        return _client_of(config.compute_backend, compute_settings(config), start_jobs)
    except ComputeError as error:
        raise ConfigError(f"Compute cannot start: {error} See manage.py models list.") from error


def remote_client(config: MInsightConfig, start_jobs: StartJobs) -> RemoteComputeClient:
    try:
        from intelligence.compute.remote import RemoteComputeClient  # noqa: PLC0415
    except ImportError as error:
        raise ConfigError(f"COMPUTE_SERVICE_URL: {error}. Install the extra `remote`.") from error
    return RemoteComputeClient.create(
        replace(compute_settings(config), service=_service_settings(config)), start_jobs
    )


def _service_settings(config: MInsightConfig) -> ServiceSettings:
    """All three of the login, or none of them: then we come as a guest."""
    password = config.compute_password.get_secret_value()
    login = {
        "AUTH_SERVICE_URL": config.auth_service_url,
        "COMPUTE_USERNAME": config.compute_username,
        "COMPUTE_PASSWORD": password,
    }
    missing = [name for name, value in login.items() if not value]
    if missing and (config.compute_username or password):
        raise ConfigError(f"COMPUTE_SERVICE_URL: the login also needs {', '.join(missing)}.")
    return ServiceSettings(
        url=config.compute_service_url,
        auth_url=config.auth_service_url,
        username=config.compute_username,
        password=password,
        models=config.compute_service_models,
        timeout_seconds=config.compute_timeout_seconds,
    )


def _client_of(backend: str, settings: ComputeSettings, start_jobs: StartJobs) -> ComputeClient:
    if backend == "fake":
        from intelligence.compute.fake import FakeComputeClient  # noqa: PLC0415  (only what is asked for)

        return FakeComputeClient.create(settings, start_jobs)
    if not django_settings.EMBEDDED_BROKER:  # a pool of Celery has processes of its own
        from intelligence.compute.local import LocalComputeClient  # noqa: PLC0415

        return LocalComputeClient.create(settings, start_jobs)
    from intelligence.compute.isolation import IsolatedComputeClient  # noqa: PLC0415

    return IsolatedComputeClient.create(settings, start_jobs)
