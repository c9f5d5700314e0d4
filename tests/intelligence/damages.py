"""Damages of every kind, each with the findings that an audit owes for it, written down without the audit."""

from __future__ import annotations

import hashlib
import os
import random
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from django.db import connection

from vectors import QdrantVectorStore, VectorPoint, get_clip_store, get_dino_store, get_face_store

LONG_AGO = 40 * 24 * 3600
CLIP, DINO, FACE = "fake-clip-512", "fake-dino-384", "fake-face-512"
DEPENDENTS = (
    "DELETE FROM intelligence_entityjob WHERE entity_id = {0}",
    "DELETE FROM intelligence_face WHERE entity_id = {0}",
    "DELETE FROM intelligence_imageintelligence WHERE entity_id = {0}",
)

Owed = tuple[str, Any]
"""The kind of a finding, and what it is about."""


def rows(sql: str) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(sql)
        found: list[tuple[Any, ...]] = cursor.fetchall() if cursor.description else []
        return found


@dataclass
class Damager:
    """Each damage hits an image of its own, so that what is owed for one says nothing of another."""

    media: Path
    images: list[int]
    collections: list[int]
    random: random.Random
    owed: set[Owed] = field(default_factory=set)
    hit: set[int] = field(default_factory=set)
    number: int = 0

    def damage(self, times: int) -> None:
        kinds = self._kinds()
        for turn in range(times):
            damage = kinds[turn] if turn < len(kinds) else self.random.choice(kinds)
            self.number += 1
            self.owed |= set(damage())

    def _kinds(self) -> list[Callable[[], Iterator[Owed]]]:
        return [getattr(self, name) for name in sorted(dir(self)) if name.startswith("do_")]

    def _image(self) -> int:
        pk = self.images.pop(self.random.randrange(len(self.images)))
        self.hit.add(pk)
        return pk

    def _file(self, pk: int) -> Path:
        [(path,)] = rows(f"SELECT file_path FROM entities_entity WHERE id = {pk}")
        return self.media / str(path)

    def _preview(self, pk: int) -> Path:
        md5 = self._file(pk).stem
        return self.media / "previews" / md5[:2] / md5[2:4] / f"{md5}.png"

    def _faces(self, pk: int) -> dict[int, str]:
        return dict(rows(f"SELECT id, file_path FROM intelligence_face WHERE entity_id = {pk} ORDER BY id"))

    def _strange(self, path: str) -> str:
        file = self.media / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(self.random.randbytes(30))
        os.utime(file, (time.time() - LONG_AGO,) * 2)
        return path

    def _digest(self) -> str:
        return hashlib.md5(f"strange {self.number}".encode(), usedforsecurity=False).hexdigest()

    # --- Files and previews ---

    def do_delete_a_file(self) -> Iterator[Owed]:
        self._file(pk := self._image()).unlink()
        yield "missing_file", pk

    def do_truncate_a_file(self) -> Iterator[Owed]:
        file = self._file(pk := self._image())
        file.write_bytes(file.read_bytes()[:-1])
        yield "altered_file", pk

    def do_alter_a_file(self) -> Iterator[Owed]:
        file = self._file(pk := self._image())
        content = bytearray(file.read_bytes())
        content[-1] ^= 1
        file.write_bytes(content)
        yield "altered_file", pk

    def do_add_a_file(self) -> Iterator[Owed]:
        yield "orphaned_file", self._strange(f"store/2020/01/02/{self._digest()}.jpg")

    def do_add_a_file_of_another_name(self) -> Iterator[Owed]:
        yield "orphaned_file", self._strange(f"store/notes {self.number}.txt")

    def do_add_a_second_copy(self) -> Iterator[Owed]:
        """Under the right name, on another day than the row says."""
        file = self._file(self._image())
        yield "orphaned_file", self._strange(f"store/2001/02/03/{file.name}")

    def do_add_a_stream(self) -> Iterator[Owed]:
        yield "orphaned_file", self._strange(f"streams/video/mp4/media_{10**9 + self.number}/adaptive.m3u8")

    def do_add_a_preview(self) -> Iterator[Owed]:
        md5 = self._digest()
        yield "orphaned_preview", self._strange(f"previews/{md5[:2]}/{md5[2:4]}/{md5}.png")

    def do_truncate_a_preview(self) -> Iterator[Owed]:
        preview = self._preview(self._image())
        preview.write_bytes(preview.read_bytes()[:-4])
        yield "damaged_preview", str(preview.relative_to(self.media))

    def do_leave_half_a_preview(self) -> Iterator[Owed]:
        md5 = self._digest()
        yield "leftover", self._strange(f"previews/{md5[:2]}/{md5[2:4]}/.{md5}.0011223344556677.tmp")

    def do_leave_half_an_upload(self) -> Iterator[Owed]:
        yield "leftover", self._strange(f"incoming/{self._digest()}")

    # --- Crops ---

    def do_delete_a_crop(self) -> Iterator[Owed]:
        face, path = self.random.choice(list(self._faces(self._image()).items()))
        (self.media / path).unlink()
        yield "face_without_crop", face

    def do_truncate_a_crop(self) -> Iterator[Owed]:
        face, path = self.random.choice(list(self._faces(self._image()).items()))
        (self.media / path).write_bytes(b"")
        yield "damaged_crop", face

    def do_add_a_crop(self) -> Iterator[Owed]:
        _, path = self._faces(self._image()).popitem()
        yield "orphaned_crop", self._strange(str(Path(path).with_name(f"strange-{self.number}.png")))

    def do_leave_half_a_crop(self) -> Iterator[Owed]:
        yield "leftover_crop", self._strange(f"faces/0/{self.number}/1-0.{self.number}.part")

    # --- Rows ---

    def do_delete_a_row(self) -> Iterator[Owed]:
        """With all that is known of it: what lies elsewhere belongs to nothing then, except the file."""
        pk = self._image()
        faces, preview = self._faces(pk), self._preview(pk)
        for statement in (*DEPENDENTS, "DELETE FROM entities_entity WHERE id = {0}"):
            rows(statement.format(pk))
        yield "lost_entity", pk
        yield "orphaned_preview", str(preview.relative_to(self.media))
        yield from (("orphaned_vector", (space, pk)) for space in ("clip_embeddings", "dino_embeddings"))
        for face, crop in faces.items():
            yield "orphaned_vector", ("face_embeddings", face)
            yield "orphaned_crop", crop

    def do_delete_what_is_known_of_an_image(self) -> Iterator[Owed]:
        """All but its faces."""
        pk = self._image()
        rows(f"DELETE FROM intelligence_imageintelligence WHERE entity_id = {pk}")
        yield "missing_results", pk
        yield from (("orphaned_face", face) for face in self._faces(pk))
        yield from (("orphaned_vector", (space, pk)) for space in ("clip_embeddings", "dino_embeddings"))

    def do_delete_a_face(self) -> Iterator[Owed]:
        pk = self._image()
        face, crop = self._faces(pk).popitem()
        rows(f"DELETE FROM intelligence_entityjob WHERE face_id = {face}")
        rows(f"DELETE FROM intelligence_face WHERE id = {face}")
        yield "orphaned_vector", ("face_embeddings", face)
        yield "orphaned_crop", crop
        yield "wrong_face_count", pk

    def do_delete_a_job(self) -> Iterator[Owed]:
        pk = self._image()
        rows(f"DELETE FROM intelligence_entityjob WHERE entity_id = {pk} AND task_type = 'dino_embedding'")
        yield "lost_job", (pk, "dino_embedding")

    def do_alter_a_face_count(self) -> Iterator[Owed]:
        pk = self._image()
        rows(f"UPDATE intelligence_imageintelligence SET face_count = 7 WHERE entity_id = {pk}")
        yield "wrong_face_count", pk

    def do_alter_a_count(self) -> Iterator[Owed]:
        parent = self.random.choice([0, -1, *self.collections])
        rows(f"UPDATE entities_count SET number = number + 1 WHERE parent_id = {parent}")
        yield "wrong_count", parent

    # --- Vectors ---

    def do_delete_a_vector(self) -> Iterator[Owed]:
        pk = self._image()
        space, store = self.random.choice(
            [("clip_embeddings", get_clip_store()), ("dino_embeddings", get_dino_store())]
        )
        store.delete([pk])
        yield "lost_vector", (space, pk)

    def do_delete_a_face_vector(self) -> Iterator[Owed]:
        face = self.random.choice(list(self._faces(self._image())))
        get_face_store().delete([face])
        yield "lost_vector", ("face_embeddings", face)

    def do_add_a_vector(self) -> Iterator[Owed]:
        pk = 10**9 + self.number
        _add(get_dino_store(), pk, 384, DINO)
        yield "orphaned_vector", ("dino_embeddings", pk)

    def do_add_a_face_vector(self) -> Iterator[Owed]:
        pk = 10**9 + self.number
        _add(get_face_store(), pk, 512, FACE)
        yield "orphaned_vector", ("face_embeddings", pk)


def _add(store: QdrantVectorStore, pk: int, dimension: int, model: str) -> None:
    assert store.current_model() == model, store.current_model()
    store.upsert([VectorPoint(pk, np.ones(dimension, np.float32), {"entity_id": pk})], model=model)
