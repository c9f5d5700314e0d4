"""Jobs that a remote compute service runs, over HTTP.

Nothing that the service says is believed: paths and numbers are checked.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Self
from urllib.parse import urlsplit

from intelligence.compute.base import (
    Capabilities,
    ComputeError,
    ComputeSettings,
    ComputeUnavailableError,
    EmbeddingResult,
    FaceDetectionResult,
    JobReport,
    JobResult,
    JobState,
    ModelInfo,
    ServiceSettings,
    StartJobs,
    UnknownJobError,
)
from intelligence.compute.remote_http import (
    MAX_ERROR_BYTES,
    SILENCE_SECONDS,
    Answer,
    Form,
    Http,
    LeftAloneError,
    UnusableAnswerError,
)
from intelligence.compute.remote_jobs import (
    MAX_CROP_BYTES,
    NPY_HEADER_BYTES,
    ServiceJob,
    is_job_id,
    read_faces,
    read_job,
    read_vector,
    safe_path,
)
from intelligence.compute.remote_tokens import Tokens
from intelligence.vocabulary import TaskType

MAX_JSON_BYTES = 2 * 1024 * 1024

_UNAUTHORISED, _FORBIDDEN, _NOT_FOUND = 401, 403, 404
_SAME_PERSON_FROM = 0.7
"""The cosine by which clients of the existing system match people; the service itself states none."""


class RemoteComputeClient:
    """A ComputeClient whose jobs run elsewhere."""

    backend = "remote"
    runs_here = False

    def __init__(self, settings: ComputeSettings, service: ServiceSettings) -> None:
        self._service = service
        self._http = Http("The compute service", service.url, timeout_seconds=service.timeout_seconds)
        self._login = _Login(service) if service.username else None
        self._tokens = Tokens(self._login) if self._login else None
        self._models = _models(settings, service.models)
        self._form_fields = _form_fields(settings)

    @classmethod
    def create(cls, settings: ComputeSettings, start_jobs: StartJobs) -> Self:  # noqa: ARG003  (see `start`)
        assert settings.service is not None
        return cls(settings, settings.service)

    def submit(self, task: TaskType, image: Path, params: Mapping[str, object], idempotency_key: str) -> str:
        if not is_job_id(idempotency_key):
            message = "A job's key must be 1 to 64 of the characters A-Z a-z 0-9 _ -."
            raise ComputeError(message, permanent=True)
        fields = {**self._form_fields[task], **{name: str(value) for name, value in params.items()}}
        answer = self._request("POST", f"/jobs/{task}", form=Form(fields, image))
        if not answer.is_good:
            raise _submission_refused(task, answer)
        job_id = answer.fields().get("job_id")
        if not isinstance(job_id, str) or not is_job_id(job_id):
            raise UnusableAnswerError("The compute service took the job but gave it no usable id.")
        return job_id

    def start(self, job_ids: Sequence[str]) -> None:
        """The service starts by itself."""

    def get(self, job_id: str) -> JobReport:
        if not is_job_id(job_id):
            raise _unknown(job_id)
        answer = self._ask_about(job_id)
        if answer.status == _NOT_FOUND:
            raise _unknown(job_id)
        try:
            job = read_job(answer.fields(), job_id)
        except ValueError as error:
            raise UnusableAnswerError(f"The compute service's answer makes no sense: {error}.") from error
        return self._report(job_id, job)

    def _ask_about(self, job_id: str) -> Answer:
        """Whatever goes wrong here says nothing about the job: it is asked about again later."""
        try:
            answer = self._request("GET", f"/jobs/{job_id}")
            if answer.is_good:
                answer.fields()
        except UnusableAnswerError as error:
            if error.permanent:
                raise
            raise ComputeUnavailableError(str(error)) from error
        if not answer.is_good and answer.status != _NOT_FOUND:
            raise ComputeUnavailableError(f"The compute service does not tell of its job: {answer.reason()}")
        return answer

    def cancel(self, job_id: str) -> None:
        if not is_job_id(job_id):
            return
        answer = self._request("DELETE", f"/jobs/{job_id}")
        if not answer.is_good and answer.status != _NOT_FOUND:
            raise ComputeError(f"The compute service did not delete the job: {answer.reason()}")

    def capabilities(self) -> Capabilities:
        """Of its models the service tells nothing: this is what is expected of them, and costs no request."""
        host = urlsplit(self._service.url).hostname
        return Capabilities(
            models=self._models, summary=f"The compute service at {host} looks at pictures, and knows faces."
        )

    def close(self) -> None:
        self._http.close()
        if self._login is not None:
            self._login.close()

    def _report(self, job_id: str, job: ServiceJob) -> JobReport:
        if job.state is JobState.FAILED:
            error = job.error or "The compute service gave no reason."
            return JobReport(JobState.FAILED, error=error, permanent=job.failed_for_good)
        if job.state is not JobState.COMPLETED:
            return JobReport(job.state)
        try:
            return JobReport(JobState.COMPLETED, result=self._result(job_id, job))
        except ValueError as error:
            reason = f"The compute service's result cannot be used: {error}."
            return JobReport(JobState.FAILED, error=reason, permanent=True)

    def _result(self, job_id: str, job: ServiceJob) -> JobResult:
        model = self._models[job.task]
        if job.task is TaskType.FACE_DETECTION:
            faces = tuple(
                face.with_crop(self._file(job_id, face.crop_path, MAX_CROP_BYTES))
                for face in read_faces(job.output)
            )
            return FaceDetectionResult(faces=faces, model=model.name)
        assert model.dimension is not None
        data = self._file(job_id, job.output_path, NPY_HEADER_BYTES + 4 * model.dimension)
        return EmbeddingResult(vector=read_vector(data, model.dimension), model=model.name)

    def _file(self, job_id: str, path: object, limit: int) -> bytes:
        """The service answered a moment ago: that it does not give this file is the file's affair."""
        path = safe_path(path)
        try:
            answer = self._request("GET", f"/jobs/{job_id}/files/{path}", limit=limit)
        except LeftAloneError:
            raise
        except ComputeUnavailableError as error:
            raise UnusableAnswerError(str(error)) from error
        if not answer.is_good:
            raise UnusableAnswerError(f"The compute service has no {path} of its job: {answer.reason()}")
        return answer.content

    def _request(
        self, method: str, path: str, *, limit: int = MAX_JSON_BYTES, form: Form | None = None
    ) -> Answer:
        """With a token where we have a login; a token that is refused is replaced, once."""
        token = self._tokens.current() if self._tokens else None
        answer = self._http.request(method, path, limit=limit, token=token, form=form)
        if answer.status == _UNAUTHORISED and self._tokens and token:
            self._tokens.drop(token)
            token = self._tokens.current()
            answer = self._http.request(method, path, limit=limit, token=token, form=form)
        if answer.status == _UNAUTHORISED:
            hint = "COMPUTE_USERNAME's token is refused" if token else "it wants a COMPUTE_USERNAME"
            raise ComputeUnavailableError(f"The compute service lets nobody in: {hint}: {answer.reason()}")
        return answer


class _Login:
    """The AuthService that Tokens asks."""

    def __init__(self, service: ServiceSettings) -> None:
        self._service = service
        seconds = min(SILENCE_SECONDS, service.timeout_seconds)
        self._http = Http("The login service", service.auth_url, timeout_seconds=seconds)

    def log_in(self) -> str:
        form = Form({"username": self._service.username, "password": self._service.password})
        return self._token_of(self._post("/auth/token", form=form))

    def refresh(self, token: str) -> str:
        return self._token_of(self._post("/auth/token/refresh", token=token))

    def close(self) -> None:
        self._http.close()

    def _post(self, path: str, *, token: str | None = None, form: Form | None = None) -> Answer:
        try:
            return self._http.request("POST", path, limit=MAX_ERROR_BYTES, token=token, form=form)
        except ComputeError as error:
            raise ComputeUnavailableError(f"The login for the compute service failed: {error}") from error

    def _token_of(self, answer: Answer) -> str:
        if not answer.is_good:
            who = f"The login of {self._service.username} for the compute service was refused"
            raise ComputeUnavailableError(f"{who}: {answer.reason()}")
        try:
            token = answer.fields().get("access_token")
        except ComputeError as error:
            raise ComputeUnavailableError(f"The login service answered oddly: {error}") from error
        if not isinstance(token, str) or not re.fullmatch(r"[\x21-\x7e]{1,8192}", token):
            raise ComputeUnavailableError("The login service gave no usable token.")
        return token


def _submission_refused(task: TaskType, answer: Answer) -> ComputeError:
    if answer.status == 405:  # noqa: PLR2004
        return ComputeError(f"The compute service does not do {task}.", permanent=True)
    said = f"The compute service did not take the job: {answer.reason()}"
    if answer.status in (_FORBIDDEN, _NOT_FOUND) or answer.status < 400:  # noqa: PLR2004
        return ComputeUnavailableError(said)  # its address or our permissions: not the image's doing
    return ComputeError(said, permanent=True)


def _unknown(job_id: str) -> UnknownJobError:
    return UnknownJobError(f"The compute service does not know the job {job_id[:64]!r}.")


def _models(settings: ComputeSettings, name: str) -> dict[TaskType, ModelInfo]:
    def embeds(kind: str, dimension: int, same_person_from: float | None = None) -> ModelInfo:
        return ModelInfo(f"{name}-{kind}-{dimension}", dimension, same_person_from)

    return {
        TaskType.FACE_DETECTION: ModelInfo(f"{name}-faces"),
        TaskType.CLIP_EMBEDDING: embeds("clip", settings.clip_dimension),
        TaskType.DINO_EMBEDDING: embeds("dino", settings.dino_dimension),
        TaskType.FACE_EMBEDDING: embeds("face", settings.face_dimension, _SAME_PERSON_FROM),
    }


def _form_fields(settings: ComputeSettings) -> Mapping[TaskType, Mapping[str, str]]:
    of_detection = {
        "confidence_threshold": str(settings.face_detection_threshold),
        "nms_threshold": str(settings.face_detection_nms),
    }
    return {
        task: of_detection if task is TaskType.FACE_DETECTION else {"normalize": "true"} for task in TaskType
    }
