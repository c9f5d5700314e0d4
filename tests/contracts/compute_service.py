"""A compute service as its protocol describes it, over real HTTP, that misbehaves on request.

Its jobs run when a test says so. What it finds is made up as the fake client makes it up.
"""

from __future__ import annotations

import io
import json
import re
import tempfile
import threading
import time
import uuid
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote

import jwt
import numpy as np

from intelligence.compute.base import ComputeError, ComputeSettings, ServiceSettings
from intelligence.compute.fake import FakeModels
from intelligence.compute.picture import Picture
from intelligence.vocabulary import TaskType

USERNAME, PASSWORD = "worker", "sesame"
LIFETIME_SECONDS = 1800

Fault = Callable[["Handler"], None]
Event = dict[str, Any]


@dataclass
class Job:
    fields: dict[str, Any]
    files: dict[str, bytes]

    @property
    def id(self) -> str:
        return str(self.fields["job_id"])


@dataclass(frozen=True)
class Received:
    method: str
    path: str
    token: str | None
    fields: dict[str, str]
    filename: str | None


@dataclass
class ComputeService:
    wants_login: bool = False
    faces: int = 2
    on_event: Callable[[Event], None] = lambda _event: None
    jobs: dict[str, Job] = field(default_factory=dict)
    received: list[Received] = field(default_factory=list)
    tokens: set[str] = field(default_factory=set)
    """Those that are still good."""
    token_lifetime: float = LIFETIME_SECONDS
    can_refresh: bool = True
    url: str = ""
    _faults: list[tuple[str, re.Pattern[str], Fault]] = field(default_factory=list)
    _lock: threading.RLock = field(default_factory=threading.RLock)

    def settings(self, spool: Path, **service: Any) -> ComputeSettings:
        login = {"auth_url": self.url, "username": USERNAME, "password": PASSWORD} if self.wants_login else {}
        return ComputeSettings(spool=spool, service=ServiceSettings(**{"url": self.url, **login, **service}))

    def misbehave(self, method: str, path: str, fault: Fault, *, times: int = 1) -> None:
        """At the next requests whose path the pattern fits."""
        self._faults += [(method, re.compile(path), fault)] * times

    def is_about_to_misbehave(self, method: str) -> bool:
        with self._lock:
            return any(of_method == method for of_method, _, _ in self._faults)

    def behave(self) -> None:
        with self._lock:
            self._faults.clear()

    def restart(self) -> None:
        """It comes back without its jobs."""
        self.jobs.clear()

    def requests(self, method: str, path: str = "") -> list[Received]:
        return [request for request in self.received if request.method == method and path in request.path]

    def work(self, job_ids: Iterable[str] | None = None) -> None:
        """What a worker of the service does: runs the jobs that wait."""
        for job_id in list(self.jobs) if job_ids is None else job_ids:
            job = self.jobs.get(job_id)
            if job is not None and job.fields["status"] == "queued":
                self._run(job)

    def fault_for(self, method: str, path: str) -> Fault | None:
        with self._lock:
            for number, (of_method, pattern, fault) in enumerate(self._faults):
                if of_method == method and pattern.search(path):
                    del self._faults[number]
                    return fault
        return None

    def add(self, task: str, filename: str, content: bytes, params: dict[str, Any]) -> Job:
        suffix = "json" if task == TaskType.FACE_DETECTION else "npy"
        paths = {"input_path": f"input/{filename}", "output_path": f"output/{task}.{suffix}"}
        fields = {
            "job_id": str(uuid.uuid4()),
            "task_type": task,
            "status": "queued",
            "progress": 0,
            "params": {**paths, **params},
            "task_output": None,
            "error_message": None,
            "priority": 5,
            "created_at": _now(),
            "updated_at": _now(),
            "started_at": None,
            "completed_at": None,
        }
        job = Job(fields, {paths["input_path"]: content})
        self.jobs[job.id] = job
        self._tell(job, "queued")
        return job

    def issue_token(self) -> str:
        claims = {
            "id": "1",
            "permissions": ["ai_inference_support"],
            "exp": time.time() + self.token_lifetime,
        }
        token = jwt.encode({**claims, "jti": uuid.uuid4().hex}, "x" * 32)
        self.tokens.add(token)
        return token

    def _run(self, job: Job) -> None:
        job.fields.update(status="processing", started_at=_now())
        self._tell(job, "processing")
        try:
            output = self._look_at(job)
        except ComputeError:
            # No event: the service tells of success only.
            reason = f"Failed to load image: /srv/compute/{job.id}/{job.fields['params']['input_path']}"
            job.fields.update(status="error", error_message=reason, completed_at=_now())
            return
        job.fields.update(status="completed", progress=100, task_output=output, completed_at=_now())
        self._tell(job, "completed")

    def _look_at(self, job: Job) -> dict[str, Any]:
        settings = ComputeSettings(spool=Path("nowhere"))
        models = FakeModels(settings, faces=self.faces)
        with tempfile.NamedTemporaryFile(prefix="compute-service-") as file:
            file.write(job.files[job.fields["params"]["input_path"]])
            file.flush()
            picture = Picture(Path(file.name), max_pixels=settings.max_image_pixels)
            if job.fields["task_type"] == TaskType.FACE_DETECTION:
                return _detection(job, models, picture)
            vector = models.embed(TaskType(job.fields["task_type"]), picture)
        job.files[job.fields["params"]["output_path"]] = npy(vector)
        return {"embedding_dim": len(vector), "normalized": True}

    def _tell(self, job: Job, event: str) -> None:
        progress = 100 if event == "completed" else 0
        told = {"job_id": job.id, "event_type": event, "timestamp": _now(), "progress": progress}
        self.on_event(told)


@contextmanager
def serving(**options: Any) -> Iterator[ComputeService]:
    service = ComputeService(**options)
    server = _Server(("127.0.0.1", 0), Handler)
    server.service = service
    service.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield service
    finally:
        server.shutdown()
        server.server_close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    service: ComputeService

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that hangs up is no news."""


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    @property
    def service(self) -> ComputeService:
        return self.server.service

    def do_GET(self) -> None:
        self._handle("GET")

    def do_POST(self) -> None:
        self._handle("POST")

    def do_DELETE(self) -> None:
        self._handle("DELETE")

    def log_message(self, format: str, *args: Any) -> None:
        """Silent."""

    def answer(self, status: int, fields: Any = None, headers: dict[str, str] | None = None) -> None:
        body = b"" if status == 204 else json.dumps(fields).encode()
        self.send(status, body, {"Content-Type": "application/json", **(headers or {})})

    def send(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def body(self) -> bytes:
        return self.rfile.read(int(self.headers.get("Content-Length") or 0))

    def _handle(self, method: str) -> None:
        if fault := self.service.fault_for(method, self.path):
            fault(self)
            return
        authorisation = self.headers.get("Authorization", "")
        token = authorisation.removeprefix("Bearer ") if authorisation.startswith("Bearer ") else None
        fields, filename, content = self._form(self.body())
        self.service.received.append(Received(method, self.path, token, fields, filename))
        self._route(method, token, fields, filename, content)

    def _route(
        self, method: str, token: str | None, fields: dict[str, str], filename: str | None, content: bytes
    ) -> None:
        parts = unquote(self.path).strip("/").split("/")
        match method, parts:
            case "POST", ["auth", "token"]:
                self._log_in(fields)
            case "POST", ["auth", "token", "refresh"]:
                self._refresh(token)
            case "GET", [""]:
                guest = "off" if self.service.wants_login else "on"
                self.answer(200, {"status": "healthy", "service": "Task Server", "guestMode": guest})
            case "GET", ["capabilities"]:
                counts = dict.fromkeys(TaskType, 1)
                self.answer(200, {"num_workers": 1, "capabilities": counts})
            case _, ["jobs", *rest] if self._may_enter(token):
                self._route_job(method, rest, fields, filename, content)
            case _, ["jobs", *_]:
                pass  # refused
            case _:
                self.answer(404, {"detail": "Not Found"})

    def _may_enter(self, token: str | None) -> bool:
        if not self.service.wants_login or token in self.service.tokens:
            return True
        missing = "Authentication required" if token is None else "Could not validate credentials"
        self.answer(401, {"detail": missing})
        return False

    def _log_in(self, fields: dict[str, str]) -> None:
        if (fields.get("username"), fields.get("password")) == (USERNAME, PASSWORD):
            self.answer(200, {"access_token": self.service.issue_token(), "token_type": "bearer"})
        else:
            self.answer(401, {"detail": "Incorrect username or password"})

    def _refresh(self, token: str | None) -> None:
        if self.service.can_refresh and token in self.service.tokens:
            self.answer(200, {"access_token": self.service.issue_token(), "token_type": "bearer"})
        else:
            self.answer(401, {"detail": "Could not validate credentials"})

    def _route_job(
        self, method: str, rest: list[str], fields: dict[str, str], filename: str | None, content: bytes
    ) -> None:
        match method, rest:
            case "POST", [task] if task in set(TaskType):
                self._submit(task, fields, filename, content)
            case "POST", [_]:
                self.answer(405, {"detail": "Method Not Allowed"})
            case _, [job_id, *_] if job_id not in self.service.jobs:
                self.answer(404, {"detail": f"Job {job_id} not found"})
            case "GET", [job_id]:
                self.answer(200, self.service.jobs[job_id].fields)
            case "DELETE", [job_id]:
                self.service.jobs.pop(job_id, None)
                self.answer(204)
            case "GET", [job_id, "files", *path]:
                self._give_file(self.service.jobs[job_id], "/".join(path))
            case _:
                self.answer(404, {"detail": "Not Found"})

    def _submit(self, task: str, fields: dict[str, str], filename: str | None, content: bytes) -> None:
        if not filename:
            missing = {"type": "missing", "loc": ["body", "file"], "msg": "Field required", "input": None}
            self.answer(422, {"detail": [missing]})
            return
        job = self.service.add(task, filename, content, dict(fields))
        self.answer(200, {"job_id": job.id, "status": "queued", "task_type": task})

    def _give_file(self, job: Job, path: str) -> None:
        if ".." in path or path.startswith("/"):
            self.answer(403, {"detail": "Access denied: path traversal detected"})
        elif path not in job.files:
            self.answer(404, {"detail": f"File not found: {path}"})
        else:
            name = path.rsplit("/", 1)[-1]
            disposition = {"Content-Disposition": f'attachment; filename="{name}"'}
            self.send(200, job.files[path], {"Content-Type": "application/octet-stream", **disposition})

    def _form(self, body: bytes) -> tuple[dict[str, str], str | None, bytes]:
        kind = self.headers.get("Content-Type", "")
        if "boundary=" not in kind:
            return {name: values[0] for name, values in parse_qs(body.decode()).items()}, None, b""
        fields: dict[str, str] = {}
        filename, content = None, b""
        for part in body.split(b"--" + kind.split("boundary=")[1].encode())[1:-1]:
            head, _, value = part.removeprefix(b"\r\n").removesuffix(b"\r\n").partition(b"\r\n\r\n")
            names = dict(re.findall(r'(name|filename)="([^"]*)"', head.decode()))
            if "filename" in names:
                filename, content = names["filename"], value
            else:
                fields[names["name"]] = value.decode()
        return fields, filename, content


# --- Files ------------------------------------------------------------------------------------------------


def npy(values: np.ndarray[Any, Any], *, pickled: bool = False) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, values, allow_pickle=pickled)
    return buffer.getvalue()


def _detection(job: Job, models: FakeModels, picture: Picture) -> dict[str, Any]:
    faces = []
    for number, face in enumerate(models.detect_faces(picture)):
        path = f"faces/face_{number}.png"
        job.files[path] = face.crop
        box, points = vars(face.bbox), {name: list(at) for name, at in vars(face.landmarks).items()}
        faces.append({"bbox": box, "confidence": face.confidence, "landmarks": points, "file_path": path})
    width, height = picture.size
    output = {"faces": faces, "num_faces": len(faces), "image_width": width, "image_height": height}
    job.files[job.fields["params"]["output_path"]] = json.dumps(output).encode()
    return output


def _now() -> int:
    return time.time_ns() // 1_000_000
