"""A process that dies, or a step that fails, anywhere in a change: before or after it, never in between.

Each change is made again and again, each time with the fault one step later, until it goes through.
"""

from __future__ import annotations

import errno
import io
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from django.db import DatabaseError, OperationalError, connection
from django.db.backends.base.base import BaseDatabaseWrapper

from entities import disposal, services, storage
from entities.errors import EntityNotFoundError
from entities.models import DiscardedFile, Entity
from entities.storage import EntityStorageService
from entities.versions import History
from tests.factories import jpeg, make_collection, make_photo, store
from tests.invariants import entity_violations, file_violations

pytestmark = pytest.mark.django_db(transaction=True)

STEPS = [
    *((os, name) for name in ("fsync", "link", "mkdir", "open", "replace", "rmdir", "unlink")),
    (io, "open"),
    (BaseDatabaseWrapper, "_commit"),
]
"""All that changes the disk; each query to the database is a step too."""


FAILED_CALL = OSError(errno.EIO, "the disk fails")
FAILED_QUERY = OperationalError("the database fails")


class Killed(BaseException):
    """Nothing that a process does after its death has an effect."""


class Faults:
    """Counts the steps and lets one fail; or it and all after it, as if the process had died there."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._monkeypatch = monkeypatch
        self._left = 0
        self._dies = False
        self.struck = False

    @contextmanager
    def at(self, step: int, *, dies: bool) -> Iterator[None]:
        self._left, self._dies, self.struck = step, dies, False
        with self._monkeypatch.context() as patch, connection.execute_wrapper(self._query):
            for owner, name in STEPS:
                patch.setattr(owner, name, self._counted(getattr(owner, name), owner))
            yield

    def _counted(self, function: Callable[..., Any], owner: object) -> Callable[..., Any]:
        fault = FAILED_QUERY if owner is BaseDatabaseWrapper else FAILED_CALL

        def step(*arguments: Any, **options: Any) -> Any:
            self._count(fault)
            return function(*arguments, **options)

        return step

    def _query(self, execute: Any, *arguments: Any) -> Any:
        self._count(FAILED_QUERY)
        return execute(*arguments)

    def _count(self, fault: Exception) -> None:
        self._left -= 1
        if self._left == 0 or (self._left < 0 and self._dies):
            self.struck = True
            raise Killed if self._dies else fault


@pytest.fixture
def faults(monkeypatch: pytest.MonkeyPatch) -> Faults:
    monkeypatch.setattr(storage, "ABANDONED_SECONDS", -1)
    return Faults(monkeypatch)


# --- The changes ------------------------------------------------------------------------------------------


def photo() -> Entity:
    return Entity.objects.filter(is_collection=False).order_by("pk")[0]


def prepare_trash() -> None:
    made = make_photo(1)
    services.patch_entity(made.pk, {"is_deleted": True})


def prepare_album_in_trash() -> None:
    album = make_collection()
    make_photo(1, parent_id=album.pk)
    make_photo(2, parent_id=album.pk)
    services.patch_entity(album.pk, {"is_deleted": True})


def create() -> None:
    store(jpeg(1))


def replace() -> None:
    with EntityStorageService.from_settings().receive([jpeg(2)]) as incoming:
        services.replace_entity(
            photo().pk,
            is_collection=False,
            label="new",
            storage=EntityStorageService.from_settings(),
            incoming=incoming,
        )


def throw_away() -> None:
    services.patch_entity(photo().pk, {"is_deleted": True})


def remove() -> None:
    top = Entity.objects.filter(parent=None).first()
    with suppress(EntityNotFoundError):
        services.remove_entity(top.pk if top else 0, storage=EntityStorageService.from_settings())


CHANGES: dict[str, tuple[Callable[[], Any], Callable[[], None]]] = {
    "an upload": (lambda: None, create),
    "an upload of what is in the trash": (prepare_trash, create),
    "a replacement": (lambda: make_photo(1), replace),
    "a way into the trash": (lambda: make_photo(1), throw_away),
    "a removal": (prepare_trash, remove),
    "a removal of a whole album": (prepare_album_in_trash, remove),
}


# --- The faults -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dies", [True, False], ids=["dies", "fails"])
@pytest.mark.parametrize("name", CHANGES)
def test_a_fault_at_any_step(name: str, dies: bool, faults: Faults, data_dir: Path) -> None:  # noqa: FBT001
    prepare, change = CHANGES[name]
    media = data_dir / "media"
    found, step = set(), 0
    while step == 0 or faults.struck:
        step += 1
        start_anew(media)
        prepare()
        before = state()
        with suppress(Killed, OSError, DatabaseError), faults.at(step, dies=dies):
            change()
        if dies:
            lose_connection()
        where = f"a fault at step {step}"
        assert file_violations(media) == [], where
        found.add(state())
        sweep()
        assert entity_violations(media) == [], where
        change()
        sweep()
        assert entity_violations(media) == [], where
    assert found == {before, state()}
    assert step > 5


def state() -> tuple[Any, ...]:
    """What people see; nothing of how it came about."""
    return tuple(Entity.objects.order_by("pk").values_list("md5", "label", "is_deleted"))


def sweep() -> None:
    service = EntityStorageService.from_settings()
    disposal.dispose(service)
    service.remove_abandoned()


def start_anew(media: Path) -> None:
    Entity.objects.filter(parent__isnull=False).delete()
    Entity.objects.all().delete()
    History.objects.all().delete()
    DiscardedFile.objects.all().delete()
    shutil.rmtree(media, ignore_errors=True)


def lose_connection() -> None:
    """As the server sees it: what was not committed is rolled back."""
    connection.close()
    connection.connect()
