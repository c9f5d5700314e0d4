"""How long what lies in the trash stays there."""

from __future__ import annotations

from datetime import timedelta
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.test import override_settings
from django.utils import timezone

from entities import services, trash
from entities.models import Entity
from entities.tasks import purge_trash
from entities.versions import History
from tests.factories import make_collection, make_photo
from tests.invariants import entity_violations

pytestmark = pytest.mark.django_db(transaction=True)


def change(entity: Entity, *, days_ago: float, by: str = "ada", **changes: Any) -> None:
    services.patch_entity(entity.pk, changes, by=by)  # type: ignore[arg-type]
    newest = History.objects.filter(id=entity.pk).latest("history_id").history_id
    moment = timezone.now() - timedelta(days=days_ago)
    History.objects.filter(history_id=newest).update(history_date=moment)


def run(*arguments: str) -> str:
    out = StringIO()
    call_command("trash", *arguments, stdout=out)
    return out.getvalue()


def test_what_has_lain_there_for_longer_goes(media_root: Path) -> None:
    album = make_collection("album")
    old, young, live = make_photo(1, parent_id=album.pk), make_photo(2), make_photo(3)
    change(album, days_ago=31, is_deleted=True)
    change(young, days_ago=29, is_deleted=True)
    with override_settings(TRASH_RETENTION_DAYS=30):
        assert purge_trash() == 1
    assert set(Entity.objects.all()) == {young, live}
    assert History.objects.filter(id=old.pk).latest("history_id").history_type == "-"
    assert entity_violations(media_root) == []


def test_it_counts_from_when_it_was_last_moved_there() -> None:
    photo = make_photo(1)
    change(photo, days_ago=90, is_deleted=True)
    change(photo, days_ago=60, is_deleted=False)
    change(photo, days_ago=20, by="eve", is_deleted=True)
    change(photo, days_ago=10, by="bob", label="renamed in the trash")
    [found] = trash.contents()
    assert (round((timezone.now() - found.trashed_at) / timedelta(days=1)), found.trashed_by) == (20, "eve")
    with override_settings(TRASH_RETENTION_DAYS=30):
        assert purge_trash() == 0
    with override_settings(TRASH_RETENTION_DAYS=15):
        assert purge_trash() == 1


def test_what_is_restored_in_between_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    photos = [make_photo(seed) for seed in range(3)]
    for photo in photos:
        change(photo, days_ago=90, is_deleted=True)
    found = list(trash.older_than(timezone.now()))
    services.patch_entity(photos[0].pk, {"is_deleted": False})
    services.patch_entity(photos[1].pk, {"is_deleted": False})
    services.patch_entity(photos[1].pk, {"is_deleted": True})
    monkeypatch.setattr(trash, "older_than", lambda _moment: found)
    with override_settings(TRASH_RETENTION_DAYS=30):
        assert purge_trash() == 1
    assert set(Entity.objects.all()) == set(photos[:2])


def test_the_command_looks_purges_and_restores() -> None:
    first, second = make_photo(1, label="first"), make_photo(2, label="second")
    change(first, days_ago=40, is_deleted=True)
    change(second, days_ago=40, is_deleted=True)
    assert "in the trash: 2, the oldest since" in run("status")
    assert (
        run("purge", "--older-than", "30", "--dry-run").splitlines()[0].startswith(f"{first.pk} first since ")
    )
    run("restore", str(first.pk))
    assert "1 removed for good" in run("purge", "--older-than", "30")
    assert list(Entity.objects.live()) == [first]
    with pytest.raises(CommandError, match="TRASH_RETENTION_DAYS is 0") as refused:
        run("purge")
    assert refused.value.returncode == 2
    with pytest.raises(CommandError) as missing:
        run("restore", "4711")
    assert missing.value.returncode == 1
