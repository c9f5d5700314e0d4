"""Jobs that a remote compute service runs, over HTTP. The only file that imports httpx.

Nothing that the service says is believed: answers are bounded before they are read, paths and numbers are
checked, and a request ends within its time whatever the other side does.
"""

from __future__ import annotations

import json
import logging
import random
import re
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, Self

import httpx

from intelligence.compute import time_limit
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
from intelligence.compute.remote_jobs import (
    MAX_CROP_BYTES,
    NPY_HEADER_BYTES,
    ServiceJob,
    detail,
    is_job_id,
    read_faces,
    read_job,
    read_vector,
    safe_path,
)
from intelligence.compute.remote_tokens import Tokens
from intelligence.vocabulary import TaskType

logger = logging.getLogger(__name__)

ATTEMPTS = 3
FIRST_PAUSE_SECONDS = 0.5
LONGEST_PAUSE_SECONDS = 5.0
"""If the service asks for a longer one, the job waits, not the worker."""
AWAY_SECONDS = 10.0
"""After it did not answer it is left alone for so long: nobody else has to wait for the same silence."""
LONGEST_AWAY_SECONDS = 300.0
CONNECT_SECONDS = 5.0
SILENCE_SECONDS = 30.0

MAX_JSON_BYTES = 2 * 1024 * 1024
MAX_ERROR_BYTES = 64 * 1024

_NOT_CONNECTED = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout)
"""These never reached the service, so that even a submission may be repeated."""
_NOT_NOW = (429, 502, 503, 504)
_CRASHED = 500
_UNAUTHORISED, _FORBIDDEN, _NOT_FOUND = 401, 403, 404
_SAME_PERSON_FROM = 0.7
"""The cosine by which clients of the existing system match people; the service itself states none."""

_SUFFIX = re.compile(r"\.[a-z0-9]{1,8}")


class UnusableAnswerError(ComputeError):
    """The service answered, but not with what it promised."""


class LeftAloneError(ComputeUnavailableError):
    """The service was not asked: a moment ago it did not answer."""


class _OutOfTimeError(Exception):
    """Bytes flow, but too slowly to wait for their end."""


@dataclass(frozen=True)
class Answer:
    status: int
    content: bytes
    retry_after: float = 0.0

    @property
    def is_good(self) -> bool:
        return 200 <= self.status < 300  # noqa: PLR2004

    def fields(self) -> Mapping[str, Any]:
        try:
            fields = json.loads(self.content)
        except (ValueError, RecursionError) as error:
            raise UnusableAnswerError("The compute service answered with what is no JSON.") from error
        if not isinstance(fields, dict):
            raise UnusableAnswerError("The compute service answered with JSON of another shape.")
        return fields

    def reason(self) -> str:
        try:
            return detail(json.loads(self.content)) or f"HTTP {self.status}"
        except (ValueError, RecursionError):
            return f"HTTP {self.status}"


@dataclass(frozen=True)
class Form:
    """What a POST carries: fields, and a file that is read while it is sent."""

    fields: Mapping[str, str]
    image: Path | None = None


@dataclass
class _Away:
    """Until when the service is left alone, and why. Shared by all threads."""

    until: float = 0.0
    reason: str = ""
    lock: threading.Lock = field(default_factory=threading.Lock)

    def check(self) -> None:
        with self.lock:
            if time.monotonic() < self.until:
                raise LeftAloneError(self.reason)

    def note(self, reason: str, seconds: float) -> None:
        with self.lock:
            self.until, self.reason = time.monotonic() + min(seconds, LONGEST_AWAY_SECONDS), reason
        logger.warning("%s It is asked again in %.0f s.", reason, seconds)


class Http:
    """Requests to one address: bounded in size and time, repeated where that can do no harm.

    Raises ComputeUnavailableError where the service is silent, another ComputeError where it answers but
    the answer cannot be had. Safe to use from several threads.
    """

    def __init__(self, name: str, url: str, *, timeout_seconds: float) -> None:
        self._name = name
        self._seconds = timeout_seconds
        self._away = _Away()
        self._client = httpx.Client(
            base_url=url,
            verify=url.startswith(
                "https:"
            ),  # certificates take 0.2 s to load; without TLS nobody asks for them
            headers={"Accept-Encoding": "identity"},  # an answer that unfolds would escape its bounds
        )

    def request(
        self, method: str, path: str, *, limit: int, token: str | None = None, form: Form | None = None
    ) -> Answer:
        """Any answer but those that say "not now", which are asked for again."""
        for attempt in range(1, ATTEMPTS + 1):
            self._away.check()
            pause, wanted_pause, may_repeat = FIRST_PAUSE_SECONDS * 2 ** (attempt - 1), 0.0, True
            try:
                answer = self._once(method, path, limit, token, form)
            except (httpx.TransportError, _OutOfTimeError) as error:
                failure = self._failure_of(error)
                # What may have arrived is not sent again: the service would make a second job of it.
                may_repeat = method != "POST" or isinstance(error, _NOT_CONNECTED)
            else:
                if answer.status not in (*_NOT_NOW, _CRASHED):
                    return answer
                failure, wanted_pause = self._refusal(answer), answer.retry_after
            longest_pause = min(LONGEST_PAUSE_SECONDS, time_limit.seconds_left())
            if attempt == ATTEMPTS or not may_repeat or max(pause, wanted_pause) > longest_pause:
                break
            time.sleep(max(pause * random.uniform(0.5, 1), wanted_pause))  # noqa: S311  (jitter)
        if isinstance(failure, ComputeUnavailableError):
            self._away.note(str(failure), max(AWAY_SECONDS, wanted_pause))
        raise failure

    def _failure_of(self, error: Exception) -> ComputeError:
        kind = type(error).__name__
        if isinstance(error, _NOT_CONNECTED):
            return ComputeUnavailableError(f"{self._name} cannot be reached ({kind}).")
        if time_limit.seconds_left() <= 0:  # those who have more time may well hear from it
            return UnusableAnswerError(f"{self._name} did not answer in time.")
        if isinstance(error, httpx.TimeoutException):
            return ComputeUnavailableError(f"{self._name} is silent ({kind}).")
        if isinstance(error, _OutOfTimeError):
            return UnusableAnswerError(f"{self._name} took longer than {self._seconds:g} s.")
        return UnusableAnswerError(f"{self._name} broke off ({kind}).")

    def _refusal(self, answer: Answer) -> ComputeError:
        if answer.status == _CRASHED:
            return UnusableAnswerError(f"{self._name} failed at it: {answer.reason()}.")
        return ComputeUnavailableError(f"{self._name} does not answer now (HTTP {answer.status}).")

    def close(self) -> None:
        self._client.close()

    def _once(self, method: str, path: str, limit: int, token: str | None, form: Form | None) -> Answer:
        seconds = min(self._seconds, time_limit.seconds_left())
        if seconds <= 0:
            raise _OutOfTimeError
        deadline = time.monotonic() + seconds
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        with (
            _opened(form, deadline) as body,
            self._client.stream(
                method, path, headers=headers, timeout=_patience(seconds), **body
            ) as response,
        ):
            retry_after = _seconds(response.headers.get("Retry-After", ""))
            if response.is_success:
                return Answer(response.status_code, _read(response, limit, deadline))
            said = _read(response, MAX_ERROR_BYTES, deadline, cut=True)
            return Answer(response.status_code, said, retry_after)


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
        host = httpx.URL(self._service.url).host
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


class _TimedFile:
    """A file that cannot be read any more after a while: an upload may not take longer, however slow."""

    def __init__(self, file: IO[bytes], deadline: float) -> None:
        self._file = file
        self._deadline = deadline

    def fileno(self) -> int:
        return self._file.fileno()

    def seek(self, *position: int) -> int:
        return self._file.seek(*position)

    def tell(self) -> int:
        return self._file.tell()

    def read(self, size: int = -1) -> bytes:
        _check_time(self._deadline)
        return self._file.read(size)


@contextmanager
def _opened(form: Form | None, deadline: float) -> Iterator[dict[str, Any]]:
    if form is None or form.image is None:
        yield {"data": dict(form.fields)} if form else {}
        return
    suffix = form.image.suffix.lower()
    name = f"image{suffix if _SUFFIX.fullmatch(suffix) else ''}"
    try:
        file = form.image.open("rb")
    except FileNotFoundError as error:
        raise ComputeError("The image file is no longer there.", permanent=True) from error
    except OSError as error:
        raise ComputeError(f"The image file could not be read: {error.strerror}.") from error
    with file:
        upload = (name, _TimedFile(file, deadline), "application/octet-stream")
        yield {"data": dict(form.fields), "files": {"file": upload}}


def _read(response: httpx.Response, limit: int, deadline: float, *, cut: bool = False) -> bytes:
    """At most `limit` bytes; a longer answer is cut where that is wanted, else not read at all."""
    announced = response.headers.get("Content-Length", "0")
    if not cut and announced.isdigit() and int(announced) > limit:
        raise _too_large(limit)
    if response.headers.get("Content-Encoding", "identity") != "identity":
        raise UnusableAnswerError("The compute service answered in an encoding that nobody asked for.")
    content = bytearray()
    for chunk in response.iter_raw():
        content += chunk
        _check_time(deadline)
        if len(content) > limit:
            if cut:
                break
            raise _too_large(limit)
    return bytes(content[:limit])


def _patience(seconds: float) -> httpx.Timeout:
    return httpx.Timeout(min(SILENCE_SECONDS, seconds), connect=min(CONNECT_SECONDS, seconds))


def _check_time(deadline: float) -> None:
    if time.monotonic() > deadline:
        raise _OutOfTimeError


def _too_large(limit: int) -> ComputeError:
    return UnusableAnswerError(
        f"The compute service answered with more than the {limit:,} bytes that can be.", permanent=True
    )


def _submission_refused(task: TaskType, answer: Answer) -> ComputeError:
    if answer.status == 405:  # noqa: PLR2004
        return ComputeError(f"The compute service does not do {task}.", permanent=True)
    said = f"The compute service did not take the job: {answer.reason()}"
    if answer.status in (_FORBIDDEN, _NOT_FOUND) or answer.status < 400:  # noqa: PLR2004
        return ComputeUnavailableError(said)  # its address or our permissions: not the image's doing
    return ComputeError(said, permanent=True)


def _seconds(retry_after: str) -> float:
    return float(retry_after) if re.fullmatch(r"\d{1,9}", retry_after) else 0.0


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
