"""A small hub: the part of its API that huggingface_hub calls to fetch a repository, and its faults."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

COMMIT = "0123456789abcdef0123456789abcdef01234567"
LARGE = 1000
"""From here on files are LFS files, whose sha256 the hub knows."""


@dataclass
class Hub:
    """Files by repository and path; what is in `sent` is answered instead of what the hub has."""

    files: dict[str, Mapping[str, bytes]]
    sent: dict[str, bytes] = field(default_factory=dict)
    gated: set[str] = field(default_factory=set)
    cut_off: dict[str, int] = field(default_factory=dict)
    """By path: how many more times the connection breaks in the middle."""
    fetched: list[str] = field(default_factory=list)
    """Paths whose bytes were sent, with the Range asked for."""
    url: str = ""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    hub: Hub

    def do_HEAD(self) -> None:
        self._resolve(with_body=False)

    def do_GET(self) -> None:
        if self.path.startswith("/api/models/"):
            self._tell()
        else:
            self._resolve(with_body=True)

    def _tell(self) -> None:
        repository, _, rest = self.path.removeprefix("/api/models/").partition("/revision/")
        of_tree, _, _ = repository.partition("/tree/")
        if self._refused(of_tree):
            return
        files = self.hub.files[of_tree]
        if rest or repository == of_tree:
            self._answer({"id": of_tree, "sha": COMMIT, "siblings": []})
        else:
            self._answer([_entry(path, content) for path, content in files.items()])

    def _resolve(self, *, with_body: bool) -> None:
        repository, _, rest = self.path.lstrip("/").partition("/resolve/")
        path = rest.partition("/")[2]
        if self._refused(repository):
            return
        content = self.hub.files[repository].get(path)
        if content is None:
            self._refuse(404, "EntryNotFound")
            return
        body = self.hub.sent.get(path, content)
        start = int((self.headers.get("Range") or "bytes=0-").removeprefix("bytes=").split("-")[0])
        self.send_response(206 if start else 200)
        self.send_header("X-Repo-Commit", COMMIT)
        self.send_header("ETag", f'"{_etag(content)}"')
        self.send_header("Content-Length", str(len(body) - start))
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(body) - 1}/{len(body)}")
        self.end_headers()
        if with_body:
            self._send(path, body, start)

    def _send(self, path: str, body: bytes, start: int) -> None:
        self.hub.fetched.append(path if not start else f"{path} from {start}")
        if self.hub.cut_off.get(path):
            self.hub.cut_off[path] -= 1
            self.wfile.write(body[start : start + (len(body) - start) // 2])
            self.close_connection = True
            self.connection.close()
            return
        self.wfile.write(body[start:])

    def _refused(self, repository: str) -> bool:
        if repository not in self.hub.files:
            self._refuse(404, "RepoNotFound")
        elif repository in self.hub.gated:
            self._refuse(403, "GatedRepo")
        else:
            return False
        return True

    def _refuse(self, status: int, code: str) -> None:
        self.send_response(status)
        self.send_header("X-Error-Code", code)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def _answer(self, value: Any) -> None:
        body = json.dumps(value).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_arguments: object) -> None:
        """Not into the tests' output."""


@contextmanager
def serving(hub: Hub) -> Iterator[Hub]:
    handler = type("Handler", (_Handler,), {"hub": hub})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        hub.url = f"http://127.0.0.1:{server.server_address[1]}"
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield hub
        server.shutdown()


def _etag(content: bytes) -> str:
    if len(content) >= LARGE:
        return hashlib.sha256(content).hexdigest()
    return hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()


def _entry(path: str, content: bytes) -> dict[str, Any]:
    large = {"oid": _etag(content), "size": len(content), "pointerSize": 130}
    lfs = {"lfs": large} if len(content) >= LARGE else {}
    return {"type": "file", "path": path, "size": len(content), "oid": _etag(content)[:40], **lfs}
