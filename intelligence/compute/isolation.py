"""Models in processes of their own: an image that kills one, or holds it, leaves the store running.

For a store that is itself one process of threads; a pool of Celery has such processes already. One is started
(not forked) where there is work and none is free. It looks at one image at a time, and ends when nobody has
asked for long, or when the other end of the wire is gone, however that came. Over the wire goes JSON, never
an object; images and results are files that it names.
"""

from __future__ import annotations

import faulthandler
import json
import logging
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, fields
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Self

from intelligence.compute.base import (
    Capabilities,
    ChosenModel,
    ComputeError,
    ComputeSettings,
    EmbeddingResult,
    JobState,
    ReadChosen,
    RunDiedError,
    StartJobs,
)
from intelligence.compute.following import FollowingModels
from intelligence.compute.local import LocalComputeClient
from intelligence.compute.outcome import error_document, read_report, result_document
from intelligence.compute.spool import JobRequest
from intelligence.model_registry import BASELINE
from intelligence.vocabulary import TaskType

logger = logging.getLogger(__name__)

MODULE = "intelligence.compute.isolation"
START_SECONDS = 120.0
"""Enough to read large models from a slow disk: a process hashes them before it says that it is ready."""
DUE_SECONDS = 5.0
"""A process ends itself when it took too long, and tells where it was; one that does not is ended."""
FIRST_TO_GO = 500
"""Of 1000: where memory runs out, the system ends these processes before the store."""

Answer = dict[str, Any]


class IsolatedComputeClient(LocalComputeClient):
    """As a LocalComputeClient, with the files of models used in other processes.

    The built-in baseline stays here: its models are arithmetic on decoded pixels, and what decodes them has
    had the same file before, for its preview. A process for it would cost 110 MB and a second.
    """

    def __init__(self, settings: ComputeSettings, models: FollowingModels, start_jobs: StartJobs) -> None:
        super().__init__(settings, models, start_jobs)
        self._following = models
        self._settings = settings
        self._for_jobs = Processes(settings.image_seconds)
        self._for_searches = Processes(settings.image_seconds)
        """Apart, so that the text tower is loaded once, and nobody who searches waits for a start."""

    def close(self) -> None:
        self._for_jobs.close()
        self._for_searches.close()

    def embed_picture(self, task: TaskType, image: Path, model: str = "") -> EmbeddingResult:
        self._chosen(task, {"model": model} if model else {})
        if (opening := self._opening()) is None:
            return super().embed_picture(task, image, model)
        return self._embedded(opening, {"picture": str(image), "task": task, "model": model})

    def embed_text(self, text: str, model: str = "") -> EmbeddingResult:
        self._chosen(TaskType.CLIP_EMBEDDING, {"model": model} if model else {})
        if (opening := self._opening()) is None:
            return super().embed_text(text, model)
        return self._embedded(opening, {"text": text, "model": model})

    def _embedded(self, opening: bytes, request: Mapping[str, object]) -> EmbeddingResult:
        answer = self._for_searches.ask(opening, request)
        report = read_report(answer["outcome"].encode())
        if report.state is JobState.FAILED:
            raise ComputeError(report.error, permanent=report.permanent)
        assert isinstance(report.result, EmbeddingResult)
        return report.result

    def _run_images(self, by_image: Mapping[Path, Mapping[str, JobRequest]]) -> None:
        jobs = {job_id: job for of_image in by_image.values() for job_id, job in of_image.items()}
        for request in jobs.values():
            with suppress(ComputeError):  # its job says so
                self._chosen(request.task, request.params)
        if (opening := self._opening()) is None:
            super()._run_images(by_image)
            return
        try:
            answer = self._for_jobs.ask(opening, {"jobs": list(jobs)})
        except RunDiedError as error:
            lost = [job_id for job_id in jobs if not self._has_ended(job_id)]
            raise RunDiedError(str(error), lost) from error
        except ComputeError as error:
            for job_id in jobs:
                self._fail(job_id, error)
            return
        for task, model, seconds in answer["answers"]:
            self.on_answer(TaskType(task), model, seconds)

    def _opening(self) -> bytes | None:
        """All that a process has to know to look with the models that are chosen; None: with none but the
        baseline."""
        chosen, models = self._following.in_use()
        if all(each.name == BASELINE for each in chosen or ()):
            return None
        told = {
            "settings": {name: getattr(self._settings, name) for name in _TOLD},
            "chosen": [asdict(each) for each in chosen or ()],
            "offered": _offered(models.capabilities()),
            "log_level": logging.getLogger().level,
        }
        return json.dumps(told, default=str, sort_keys=True).encode()


_TOLD = [field.name for field in fields(ComputeSettings) if field.name not in {"read_chosen", "service"}]


class Processes:
    """Those that are free, the last used first. As many as callers ask at once."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._lock = threading.Lock()
        self._free: list[_Process] = []

    def ask(self, opening: bytes, request: Mapping[str, object]) -> Answer:
        """RunDiedError if the process died of it, or took too long; ComputeError if models do not open."""
        while True:
            with suppress(_WasIdleError), self._taken(opening) as process:
                return process.ask(json.dumps(request).encode(), self._seconds)

    def close(self) -> None:
        with self._lock:
            free, self._free = self._free, []
        for process in free:
            process.end()

    @contextmanager
    def _taken(self, opening: bytes) -> Iterator[_Process]:
        process = self._fitting(opening) or _Process.started(opening)
        try:
            yield process
        except BaseException:
            process.end()
            raise
        with self._lock:
            self._free.append(process)

    def _fitting(self, opening: bytes) -> _Process | None:
        """Of those that are free; what has died, or was started for other models, goes."""
        while True:
            with self._lock:
                process = self._free.pop() if self._free else None
            if process is None or (process.lives and process.opening == opening):
                return process
            process.end()


class _WasIdleError(Exception):
    """It had ended before it began with what it was asked: another one can be."""


class _Process:
    """Seen from the store. Used by one thread at a time."""

    def __init__(self, opening: bytes) -> None:
        self.opening = opening
        self._wire, theirs = Pipe()
        with theirs:
            number = theirs.fileno()
            self._process = subprocess.Popen(  # noqa: S603  (this Python, and a module of ours)
                [sys.executable, "-m", MODULE, str(number)],
                stdin=subprocess.DEVNULL,
                pass_fds=[number],
                process_group=0,  # Ctrl-C is for the store: it lets run what has begun
                env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
            )
        self._waiting = threading.Thread(target=self._process.wait, daemon=True)
        self._waiting.start()

    @classmethod
    def started(cls, opening: bytes) -> Self:
        try:
            process = cls(opening)
        except OSError as error:
            raise RunDiedError(f"No process could be started: {error.strerror}.") from error
        try:
            answer = process.ask(opening, START_SECONDS)
        except _WasIdleError as error:
            process.end()
            raise RunDiedError("The process that was to look at the image did not start.") from error
        except BaseException:
            process.end()
            raise
        if "error" in answer:
            process.end()
            raise ComputeError(answer["error"], permanent=answer["permanent"])
        return process

    @property
    def lives(self) -> bool:
        return self._waiting.is_alive()

    def ask(self, request: bytes, seconds: float) -> Answer:
        began = time.monotonic()
        try:
            self._wire.send_bytes(request)
        except OSError as error:  # whatever was its end, this was not
            raise _WasIdleError from error
        with suppress(EOFError, OSError):
            while self._wire.poll(max(0.0, began + seconds + DUE_SECONDS - time.monotonic())):
                answer: Answer = json.loads(self._wire.recv_bytes())
                if "logger" not in answer:
                    return answer
                logging.getLogger(answer["logger"]).log(answer["level"], "%s", answer["message"])
            self._process.kill()
        self._waiting.join()
        if self._process.returncode == os.EX_OK:
            raise _WasIdleError
        if time.monotonic() - began >= seconds:
            raise RunDiedError(f"It took longer than {seconds:g} seconds.")
        raise RunDiedError(f"The process that looked at the image died ({_how(self._process.returncode)}).")

    def end(self) -> None:
        self._process.kill()
        self._waiting.join()
        self._wire.close()


def _how(code: int) -> str:
    if code == -signal.SIGKILL:
        return "it was killed, perhaps because memory had run out"
    return signal.Signals(-code).name if code < 0 else f"exit code {code}"


# --- In the process itself ---


def main() -> None:
    for number in (signal.SIGINT, signal.SIGTERM):  # also sent to all of a service at once: the store decides
        signal.signal(number, signal.SIG_IGN)
    faulthandler.enable()
    with suppress(OSError):  # not every system has it
        Path("/proc/self/oom_score_adj").write_text(str(FIRST_TO_GO))
    wire = _Wire(Connection(int(sys.argv[1])))
    opening = wire.next()
    logging.basicConfig(handlers=[_ToStore(wire)], level=opening["log_level"], format="%(message)s")
    logging.getLogger(FollowingModels.__module__).setLevel(logging.WARNING)  # the store has said it
    try:
        looker = _Looker(opening)
    except ComputeError as error:
        wire.send({"error": str(error), "permanent": error.permanent})
        return
    wire.send({})
    with suppress(queue.Empty):
        while True:
            request = wire.next(timeout=looker.settings.idle_seconds)
            faulthandler.dump_traceback_later(looker.settings.image_seconds, exit=True)
            wire.send(looker.answer(request))
            faulthandler.cancel_dump_traceback_later()


class _Wire:
    """A thread of its own reads it, so that the end of the store is noticed whatever goes on here."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._lock = threading.Lock()
        self._requests: queue.SimpleQueue[Any] = queue.SimpleQueue()
        threading.Thread(target=self._read, daemon=True).start()

    def next(self, timeout: float | None = None) -> Any:
        return self._requests.get(timeout=timeout)

    def send(self, answer: Answer) -> None:
        with self._lock:
            self._connection.send_bytes(json.dumps(answer).encode())

    def _read(self) -> None:
        with suppress(EOFError, OSError):
            while True:
                self._requests.put(json.loads(self._connection.recv_bytes()))
        os._exit(os.EX_OK)


class _ToStore(logging.Handler):
    """Lines of the log are the store's to write, in its own format."""

    def __init__(self, wire: _Wire) -> None:
        super().__init__()
        self._wire = wire

    def emit(self, record: logging.LogRecord) -> None:
        with suppress(OSError):
            self._wire.send({"logger": record.name, "level": record.levelno, "message": self.format(record)})


class _Looker:
    def __init__(self, opening: Mapping[str, Any]) -> None:
        """ComputeError if the files are missing, or are not those that the store knows."""
        chosen = tuple(ChosenModel(TaskType(each.pop("task")), **each) for each in opening["chosen"])
        self.settings = _settings(opening["settings"], lambda: chosen)
        self._client = LocalComputeClient.create(self.settings, lambda _job_ids: None)
        self._client.on_answer = lambda *answer: self._answers.append(answer)
        self._answers: list[tuple[TaskType, str, float]] = []
        if _offered(self._client.capabilities()) != opening["offered"]:
            message = "Files of models were replaced while in use. Restart, so that they get their own names."
            raise ComputeError(message, permanent=True)

    def answer(self, request: Mapping[str, Any]) -> Answer:
        if "jobs" in request:
            self._answers.clear()
            self._client.run(request["jobs"])
            return {"answers": self._answers}
        try:
            outcome = result_document(self._embedded(**request))
        except ComputeError as error:
            outcome = error_document(error)
        return {"outcome": outcome.decode()}

    def _embedded(self, model: str, text: str = "", picture: str = "", task: str = "") -> EmbeddingResult:
        if picture:
            return self._client.embed_picture(TaskType(task), Path(picture), model)
        return self._client.embed_text(text, model)


def _settings(told: Mapping[str, Any], read_chosen: ReadChosen) -> ComputeSettings:
    paths = {"spool": Path(told["spool"]), "models_dir": Path(told["models_dir"])}
    return ComputeSettings(**{**told, **paths}, read_chosen=read_chosen)


def _offered(offered: Capabilities) -> dict[str, list[str]]:
    """The names of all models, by task."""
    return {task: list(offered.offered(task)) for task in offered.models}


if __name__ == "__main__":
    main()
