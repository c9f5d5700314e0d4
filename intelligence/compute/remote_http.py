"""Requests to a compute service and its login: bounded in size and time. The only file that imports httpx.

Nothing that the other side says is believed: answers are bounded before they are read, and a request ends
within its time whatever the other side does.
"""

from __future__ import annotations

import json
import logging
import random
import re
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import httpx

from intelligence.compute import time_limit
from intelligence.compute.base import ComputeError, ComputeUnavailableError
from intelligence.compute.remote_jobs import detail

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

MAX_ERROR_BYTES = 64 * 1024

_NOT_CONNECTED = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout)
"""These never reached the service, so that even a submission may be repeated."""
_NOT_NOW = (429, 502, 503, 504)
_CRASHED = 500

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


def _seconds(retry_after: str) -> float:
    return float(retry_after) if re.fullmatch(r"\d{1,9}", retry_after) else 0.0
