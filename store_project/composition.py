"""Puts a worker's parts together from its configuration. Workers only: the web side has no credentials."""

from __future__ import annotations

from intelligence.compute.base import ComputeClient, ComputeError, ComputeSettings, StartJobs
from store_project.config import ConfigError, MInsightConfig, load


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
    )


def compute_client(start_jobs: StartJobs) -> ComputeClient:
    config = load(MInsightConfig)
    if config.compute_service_url:
        raise ConfigError(
            "COMPUTE_SERVICE_URL: a remote compute service is not spoken to yet; leave it empty."
        )
    try:
        return _client_of(config.compute_backend, compute_settings(config), start_jobs)
    except ComputeError as error:
        sizes = "CLIP_VECTOR_SIZE, DINO_VECTOR_SIZE, FACE_VECTOR_SIZE"
        raise ConfigError(f"Compute cannot start: {error} ({sizes})") from error


def _client_of(backend: str, settings: ComputeSettings, start_jobs: StartJobs) -> ComputeClient:
    if backend == "fake":
        from intelligence.compute.fake import FakeComputeClient  # noqa: PLC0415  (only what is asked for)

        return FakeComputeClient.create(settings, start_jobs)
    from intelligence.compute.local import LocalComputeClient  # noqa: PLC0415

    return LocalComputeClient.create(settings, start_jobs)
