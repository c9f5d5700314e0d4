"""Opens the folder of embedded vectors, looks after its shards while it is open, and closes it."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Generic, Protocol, TypeVar

from vectors.engines.folder import VectorFolder, in_use, remove
from vectors.engines.indexing import Indexing
from vectors.errors import CollectionGoneError, VectorsClosedError, VectorStoreError

REST_SECONDS = 600.0
"""Before indexing is tried again after a failure."""
BUSY_SECONDS = 60.0
"""And after it was given up because too much is written."""

logger = logging.getLogger(__name__)


class NotesLostError(VectorStoreError):
    """More was written than is noted."""


class Shard(Protocol):
    def flush(self) -> None: ...

    def close(self) -> None: ...

    def wants_index(self) -> bool: ...

    def copy_to(self, path: Path) -> None:
        """Notes from now on what is written."""

    def is_noting(self) -> bool:
        """False once that was too much."""

    def catch_up(self, path: Path) -> None:
        """Repeats on the copy what was noted, the longest part of it, while others read and write."""

    def exchange(self, *, commit: Callable[[], None]) -> None:
        """Puts the copy in the shard's place, with the rest of what was noted."""

    def stop_noting(self) -> None:
        """Closes the copy, if it did not take the shard's place."""


S = TypeVar("S", bound=Shard)


class Keeper(Generic[S]):
    """Nothing is opened before the first use. A thread flushes and has indexes made, one at a time.

    Raises VectorsInUseError where another process has the folder open.
    """

    def __init__(self, path: Path, load: Callable[[Path], S], *, every_seconds: float) -> None:
        self._path = path
        self._load = load
        self._every_seconds = every_seconds
        self._lock = threading.RLock()  # taken before any lock of a shard
        self._folder: VectorFolder | None = None
        self._owner: int | None = None
        self._shards: dict[str, S] = {}
        self._thread = threading.Thread(target=self._run, name="vectors-keeper", daemon=True)
        self._stopping = threading.Event()
        self._indexing: tuple[S, Indexing] | None = None
        self._index_not_before = 0.0

    def folder(self) -> VectorFolder:
        if self._owner not in (None, os.getpid()):
            raise in_use(self._path, str(self._owner))
        return self._folder or self._open()

    def shard(self, collection: str) -> S:
        self.folder()
        return self._shards.get(collection) or self._loaded(collection)

    def ensure(self, collection: str, make: Callable[[Path], S]) -> S:
        if collection not in self.folder().contents.collections:
            with self._lock:
                self._make(self.folder(), collection, make)
        return self.shard(collection)

    def drop(self, collection: str) -> None:
        with self._lock:
            self.shard(collection).close()
            del self._shards[collection]
            self.folder().remove(collection)

    def point_alias(self, alias: str, collection: str) -> None:
        with self._lock:
            self.folder().point_alias(alias, collection)

    def is_indexing(self) -> bool:
        return self._indexing is not None

    def close(self) -> None:
        if self._owner != os.getpid():
            return  # never opened; or a fork of the process that did, which has nothing of its own to close
        self._stopping.set()
        self._thread.join()
        with self._lock:
            self._stop_indexing()
            while self._shards:
                self._shards.popitem()[1].close()
            self._let_go()

    def _let_go(self) -> None:
        if self._folder is not None:
            self._folder.close()
        self._folder = None

    def _stop_indexing(self) -> None:
        if self._indexing is not None:
            self._indexing[1].cancel()
            self._indexing = None

    def _open(self) -> VectorFolder:
        with self._lock:
            if self._stopping.is_set():
                raise VectorsClosedError(
                    "The vectors were closed; get_clip_store() and its like open them anew."
                )
            if self._folder is None:
                self._folder = VectorFolder(self._path)
                if self._owner is None:
                    self._owner = os.getpid()
                    self._thread.start()
            return self._folder

    def _loaded(self, collection: str) -> S:
        with self._lock:
            folder = self.folder()  # it may have been lost a moment ago
            if collection not in self._shards:
                if collection not in folder.contents.collections:
                    raise CollectionGoneError(f"{collection} is gone: it was dropped meanwhile.")
                self._shards[collection] = self._load(folder.folder_of(collection))
            return self._shards[collection]

    def _make(self, folder: VectorFolder, collection: str, make: Callable[[Path], S]) -> None:
        if collection not in folder.contents.collections:
            path = folder.new_folder(collection)
            made = make(path)
            folder.put(collection, path)
            self._shards[collection] = made

    # --- The thread ---

    def _run(self) -> None:
        while not self._stopping.wait(self._every_seconds):
            try:
                self._notice_loss()
                for shard in list(self._shards.values()):
                    shard.flush()
                self._advance_indexing()
            except (VectorStoreError, OSError):
                logger.exception("Looking after the vectors in %s failed", self._path)

    def _notice_loss(self) -> None:
        """What is open still answers, but nothing of it would be there after a restart: so the next use makes
        the folder anew, and what is lost is asked for again."""
        with self._lock:
            if self._folder is None or not self._folder.is_gone():
                return
            logger.error("The vectors in %s were taken away while they were in use.", self._path)
            self._stop_indexing()
            while self._shards:
                with suppress(VectorStoreError):
                    self._shards.popitem()[1].close()
            self._let_go()

    def _advance_indexing(self) -> None:
        if self._indexing is None:
            self._begin_indexing()
            return
        shard, run = self._indexing
        if not shard.is_noting():
            self._give_up(run)
        elif run.is_over():
            try:
                self._end_indexing(shard, run)
            finally:
                self._indexing = None

    def _begin_indexing(self) -> None:
        waiting = [each for each in list(self._shards.items()) if each[1].wants_index()]
        if not waiting or time.monotonic() < self._index_not_before:
            return
        self._index_not_before = time.monotonic() + REST_SECONDS  # unless all goes well
        collection, shard = waiting[0]
        copy = self.folder().new_folder(collection)
        try:
            shard.copy_to(copy)
        except (VectorStoreError, OSError):
            if self._shards.get(collection) is shard:
                raise
            self._index_not_before = 0.0  # dropped meanwhile, and its folder with it
            return
        self._indexing = shard, Indexing.start(collection, copy)

    def _give_up(self, run: Indexing) -> None:
        logger.info("So much is written to %s that its search index is made later.", run.collection)
        run.cancel()
        remove(run.copy)
        self._indexing = None
        self._index_not_before = time.monotonic() + BUSY_SECONDS

    def _end_indexing(self, shard: S, run: Indexing) -> None:
        try:
            if run.succeeded():
                shard.catch_up(run.copy)
                self._exchange(shard, run)
        except NotesLostError:
            self._index_not_before = time.monotonic() + BUSY_SECONDS
        finally:
            shard.stop_noting()
            with self._lock:
                if run.copy.name not in self.folder().contents.collections.values():
                    remove(run.copy)

    def _exchange(self, shard: S, run: Indexing) -> None:
        with self._lock:
            folder = self.folder()
            if self._shards.get(run.collection) is shard:  # not dropped meanwhile, and made anew
                shard.exchange(commit=lambda: folder.put(run.collection, run.copy))
                self._index_not_before = 0.0
