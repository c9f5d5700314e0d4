"""A vector server for tests where no Qdrant runs: its REST routes over qdrant-client's own local mode.

The client under test serialises, sends, times out and fails as with a real server; what is stored and found
is decided by Qdrant's own code. Also a program: `python -m tests.qdrant_service PORT`.

Where QDRANT_TEST_URL names a real server, tests use that one instead, with collections of their own.
"""

from __future__ import annotations

import json
import os
import re
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote, urlsplit

from pydantic import BaseModel, TypeAdapter
from qdrant_client import QdrantClient, models

LOOPBACK = "127.0.0.1"
REAL = os.environ.get("QDRANT_TEST_URL", "")


class QdrantService:
    """Its state is gone when it is. One request at a time: local mode is not made for more."""

    def __init__(self) -> None:
        warnings.filterwarnings("ignore", "Payload indexes have no effect in the local Qdrant")
        self._local = QdrantClient(":memory:")
        self._lock = threading.Lock()

    def answer(self, method: str, path: str, body: bytes) -> Any:
        """Raises LookupError for an unknown route or collection, ValueError for a request that is wrong."""
        for (verb, pattern), action in ROUTES.items():
            match = re.fullmatch(pattern, path)
            if verb == method and match:
                with self._lock:
                    self._require(unquote(match.groupdict().get("existing") or ""))
                    return action(self._local, *map(unquote, match.groups()), *_parsed(action, body))
        raise LookupError(f"{method} {path}")

    def _require(self, collection: str) -> None:
        if collection and not self._local.collection_exists(collection):
            raise LookupError(f"Collection `{collection}` doesn't exist!")


def _parsed(action: Callable[..., Any], body: bytes) -> list[Any]:
    kind = action.__annotations__.get("body")
    return [] if kind is None else [TypeAdapter(kind).validate_json(body)]


def _create(local: QdrantClient, name: str, body: models.CreateCollection) -> bool:
    if local.collection_exists(name):
        raise ValueError(f"Collection `{name}` already exists!")
    return local.create_collection(name, body.vectors)


def _index(local: QdrantClient, name: str, body: models.CreateFieldIndex) -> object:
    return local.create_payload_index(name, body.field_name, body.field_schema)


def _point_aliases(local: QdrantClient, body: models.ChangeAliasesOperation) -> bool:
    return local.update_collection_aliases(body.actions)


def _upsert(local: QdrantClient, name: str, body: models.PointsList) -> object:
    return local.upsert(name, body.points)


def _retrieve(local: QdrantClient, name: str, body: models.PointRequest) -> object:
    return local.retrieve(name, body.ids, body.with_payload or False, body.with_vector or False)


def _delete(local: QdrantClient, name: str, body: models.PointsSelector) -> object:
    return local.delete(name, body)


def _update(local: QdrantClient, name: str, body: models.UpdateOperations) -> object:
    return local.batch_update_points(name, body.operations)


def _search(local: QdrantClient, name: str, body: models.QueryRequestBatch) -> object:
    return local.query_batch_points(name, body.searches)


def _scroll(local: QdrantClient, name: str, body: models.ScrollRequest) -> object:
    found, following = local.scroll(
        name, body.filter, body.limit or 10, offset=body.offset, with_payload=body.with_payload or False
    )
    return {"points": _plain(found), "next_page_offset": following}


def _count(local: QdrantClient, name: str, body: models.CountRequest) -> object:
    return local.count(name, body.filter)


NEW = "/collections/([^/]+)"
EXISTING = "/collections/(?P<existing>[^/]+)"
ROUTES: dict[tuple[str, str], Callable[..., Any]] = {
    ("GET", "/collections"): lambda local: local.get_collections(),
    ("GET", "/aliases"): lambda local: local.get_aliases(),
    ("POST", "/collections/aliases"): _point_aliases,
    ("GET", f"{NEW}/exists"): lambda local, name: {"exists": local.collection_exists(name)},
    ("PUT", NEW): _create,
    ("DELETE", NEW): lambda local, name: local.delete_collection(name),
    ("PUT", f"{EXISTING}/index"): _index,
    ("PUT", f"{EXISTING}/points"): _upsert,
    ("POST", f"{EXISTING}/points"): _retrieve,
    ("POST", f"{EXISTING}/points/delete"): _delete,
    ("POST", f"{EXISTING}/points/batch"): _update,
    ("POST", f"{EXISTING}/points/query/batch"): _search,
    ("POST", f"{EXISTING}/points/scroll"): _scroll,
    ("POST", f"{EXISTING}/points/count"): _count,
}


def _plain(result: Any) -> Any:
    if isinstance(result, list):
        return [_plain(each) for each in result]
    return result.model_dump(mode="json") if isinstance(result, BaseModel) else result


def _handler_of(service: QdrantService) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _serve(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            try:
                result = service.answer(self.command, urlsplit(self.path).path, body)
            except LookupError as error:
                self._send(HTTPStatus.NOT_FOUND, {"status": {"error": str(error)}})
            except ValueError as error:
                self._send(HTTPStatus.BAD_REQUEST, {"status": {"error": str(error)}})
            else:
                self._send(HTTPStatus.OK, {"result": _plain(result), "status": "ok", "time": 0.0})

        do_GET = do_PUT = do_POST = do_DELETE = _serve  # noqa: N815  (the base class asks for these names)

        def _send(self, status: HTTPStatus, content: object) -> None:
            encoded = json.dumps(content).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(encoded)))
            self.end_headers()
            self.wfile.write(encoded)

        def log_message(self, *_message: object) -> None:
            """Nobody reads it."""

    return Handler


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64


@contextmanager
def running() -> Iterator[str]:
    """The URL, while it runs in a thread of this process."""
    with _Server((LOOPBACK, 0), _handler_of(QdrantService())) as server:
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        yield f"http://{LOOPBACK}:{server.server_port}"
        server.shutdown()


@contextmanager
def real_or_running() -> Iterator[str]:
    if REAL:
        yield REAL
        return
    with running() as url:
        yield url


if __name__ == "__main__":
    _Server((LOOPBACK, int(sys.argv[1])), _handler_of(QdrantService())).serve_forever()
