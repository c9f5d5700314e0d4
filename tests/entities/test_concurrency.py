"""Many callers at once, over HTTP: each is answered as if it had come alone, before or after the others.

Each race is named after its contestants, and lists the answers that are one order or the other.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from entities import services
from entities.models import Entity
from entities.storage import EntityStorageService
from entities.versions import History
from tests.entities.api.client import media_files
from tests.factories import jpeg, make_collection, make_photo
from tests.http import Call, Callers, serving_here
from tests.invariants import entity_violations

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.allow_hosts(["127.0.0.1"])]

CROWD = 50
ROUNDS = 12


@pytest.fixture
def callers(settings: Any, media_root: Path) -> Iterator[Callers]:
    settings.AUTH_DISABLED = True
    with serving_here(threads=CROWD) as callers:
        yield callers
    assert entity_violations(media_root) == []


def statuses(callers: Callers, *calls: Call, dice: random.Random) -> tuple[int, ...]:
    return tuple(answer.status_code for answer in callers.at_once(calls, dice))


def in_trash(seed: int, **fields: Any) -> Entity:
    photo = make_photo(seed, **fields)
    photo.is_deleted = True
    photo.save()
    return photo


def rounds() -> Iterator[tuple[int, random.Random]]:
    for number in range(ROUNDS):
        yield number, random.Random(number)


# --- Crowds -----------------------------------------------------------------------------------------------


def test_the_same_upload_fifty_times(callers: Callers) -> None:
    answers = callers.at_once([partial(callers.upload, jpeg(1), label=str(n)) for n in range(CROWD)])

    assert Counter(answer.status_code for answer in answers) == {201: 1, 200: CROWD - 1}
    assert len({answer.json()["id"] for answer in answers}) == 1
    assert Entity.objects.count() == History.objects.count() == 1
    assert media_files() == [Entity.objects.get().file_path]


def test_fifty_uploads(callers: Callers) -> None:
    answers = callers.at_once([partial(callers.upload, jpeg(n), label=str(n)) for n in range(CROWD)])

    assert {answer.status_code for answer in answers} == {201}
    assert Entity.objects.count() == History.objects.count() == len(media_files()) == CROWD


@pytest.mark.parametrize("seed", range(3))
def test_moves_make_no_cycle_and_no_tower(callers: Callers, seed: int) -> None:
    """Of eight chains of four, any part may be moved below any other."""
    dice = random.Random(seed)
    chains = [make_chain(4) for _ in range(8)]
    everything = [pk for chain in chains for pk in chain]
    answers = []
    for _ in range(6):
        moves = [(dice.choice(everything), dice.choice(everything)) for _ in range(16)]
        calls = [partial(callers.patch, pk, parent_id=str(parent)) for pk, parent in moves]
        answers += callers.at_once(calls, dice)

    assert {answer.status_code for answer in answers} == {200, 422}


def make_chain(length: int) -> list[int]:
    chain: list[int] = []
    for _ in range(length):
        chain.append(make_collection(parent_id=chain[-1] if chain else None).pk)
    return chain


def test_two_that_move_below_each_other(callers: Callers) -> None:
    for _, dice in rounds():
        one, other = make_collection().pk, make_collection().pk
        moves = [
            partial(callers.patch, one, parent_id=str(other)),
            partial(callers.patch, other, parent_id=str(one)),
        ]
        assert sorted(statuses(callers, *moves, dice=dice)) == [200, 422]


def test_uploads_into_a_collection_that_goes(callers: Callers) -> None:
    """Each is in the collection and goes with it, or finds none."""
    for number, dice in rounds():
        album = make_collection()
        album.is_deleted = True
        album.save()
        calls = [
            partial(callers.upload, jpeg(100 * number + seed), parent_id=str(album.pk)) for seed in range(4)
        ]
        restore = partial(callers.patch, album.pk, is_deleted="false")
        removed, restored, *uploaded = statuses(
            callers, partial(callers.delete, album.pk), restore, *calls, dice=dice
        )
        assert (removed, restored) in {(204, 404), (204, 200), (400, 200)}
        assert set(uploaded) <= {201, 422}
        assert not Entity.objects.filter(parent_id=album.pk).exists() or (removed, restored) == (400, 200)


# --- Pairs ------------------------------------------------------------------------------------------------


def test_removal_against_a_new_label(callers: Callers) -> None:
    for number, dice in rounds():
        photo = in_trash(number)
        outcome = statuses(
            callers, partial(callers.delete, photo.pk), partial(callers.patch, photo.pk, label="x"), dice=dice
        )
        assert outcome in {(204, 200), (204, 404)}
    assert not Entity.objects.exists()


def test_removal_against_restoration(callers: Callers) -> None:
    for number, dice in rounds():
        photo = in_trash(number)
        restore = partial(callers.patch, photo.pk, is_deleted="false")
        outcome = statuses(callers, partial(callers.delete, photo.pk), restore, dice=dice)
        assert outcome in {(204, 404), (400, 200)}
        assert Entity.objects.filter(pk=photo.pk, is_deleted=False).exists() == (outcome == (400, 200))


def test_the_trash_against_a_new_label(callers: Callers) -> None:
    """Both are kept, in either order."""
    for number, dice in rounds():
        photo = make_photo(number)
        calls = [
            partial(callers.patch, photo.pk, is_deleted="true"),
            partial(callers.patch, photo.pk, label="x"),
        ]
        assert statuses(callers, *calls, dice=dice) == (200, 200)
        photo.refresh_from_db()
        assert (photo.is_deleted, photo.label, photo.history.count()) == (True, "x", 3)


def test_restoration_against_an_upload_of_the_same_bytes(callers: Callers) -> None:
    for number, dice in rounds():
        photo = in_trash(number)
        restore = partial(callers.patch, photo.pk, is_deleted="false")
        outcome = statuses(callers, partial(callers.upload, jpeg(number)), restore, dice=dice)
        assert outcome == (200, 200)
        photo.refresh_from_db()
        assert not photo.is_deleted
    assert Entity.objects.count() == ROUNDS


def test_removal_against_an_upload_of_the_same_bytes(callers: Callers) -> None:
    """The old entity is restored and cannot be removed, or it is removed and there is a new one."""
    for number, dice in rounds():
        photo = in_trash(number)
        uploading = partial(callers.upload, jpeg(number))
        outcome = statuses(callers, partial(callers.delete, photo.pk), uploading, dice=dice)
        assert outcome in {(400, 200), (204, 201)}
        kept = Entity.objects.get(md5=photo.md5)
        assert (kept.pk == photo.pk) == (outcome == (400, 200))


def test_the_trash_and_removal_against_uploads_of_the_same_bytes(callers: Callers) -> None:
    """Whoever uploads is answered with the entity, though it may be gone by then."""
    for number, dice in rounds():
        photo = make_photo(number)

        def throw_away(pk: int = photo.pk) -> Any:
            callers.patch(pk, is_deleted="true")
            return callers.delete(pk)

        uploads = [partial(callers.upload, jpeg(number)) for _ in range(6)]
        removed, *uploaded = statuses(callers, throw_away, *uploads, dice=dice)
        assert removed in {204, 400}
        assert set(uploaded) <= {200, 201}
        assert uploaded.count(201) <= (removed == 204)


def test_an_upload_that_is_removed_before_it_is_answered(
    callers: Callers, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not 404: it was stored, and removed after that."""
    create = services.create_entity

    def create_and_remove(*, storage: EntityStorageService, **arguments: Any) -> services.StoredEntity:
        stored = create(storage=storage, **arguments)
        services.patch_entity(stored.entity.pk, {"is_deleted": True})
        services.remove_entity(stored.entity.pk, storage=storage)
        return stored

    monkeypatch.setattr(services, "create_entity", create_and_remove)
    answer = callers.upload(jpeg(1), label="x")

    assert (answer.status_code, answer.json()["label"]) == (201, "x")
    assert media_files() == []


def test_replacement_against_removal(callers: Callers) -> None:
    for number, dice in rounds():
        photo = in_trash(number)
        putting = partial(callers.put, photo.pk, jpeg(1000 + number))
        outcome = statuses(callers, partial(callers.delete, photo.pk), putting, dice=dice)
        assert outcome in {(204, 200), (204, 404)}
    assert media_files() == []


def test_two_replacements_with_the_same_bytes(callers: Callers) -> None:
    for number, dice in rounds():
        one, other = make_photo(3 * number), make_photo(3 * number + 1)
        calls = [partial(callers.put, photo.pk, jpeg(3 * number + 2)) for photo in (one, other)]
        assert sorted(statuses(callers, *calls, dice=dice)) == [200, 409]


def test_replacement_against_an_upload_of_the_same_bytes(callers: Callers) -> None:
    for number, dice in rounds():
        photo = make_photo(2 * number)
        new = jpeg(2 * number + 1)
        outcome = statuses(
            callers, partial(callers.put, photo.pk, new), partial(callers.upload, new), dice=dice
        )
        assert outcome in {(200, 200), (409, 201)}


def test_replacement_against_an_upload_of_the_old_bytes(callers: Callers) -> None:
    """The old bytes are the entity's, which is then replaced; or they come later, and are a new one's."""
    for number, dice in rounds():
        photo = make_photo(2 * number)
        putting = partial(callers.put, photo.pk, jpeg(2 * number + 1))
        outcome = statuses(callers, putting, partial(callers.upload, jpeg(2 * number)), dice=dice)
        assert outcome in {(200, 200), (200, 201)}


def test_bytes_that_go_back_and_forth(callers: Callers) -> None:
    """The file that a replacement takes away is on its way in again while it goes."""
    photo = make_photo(0)
    for _, dice in rounds():
        calls = [partial(callers.put, photo.pk, jpeg(seed)) for seed in (0, 1, 0, 1)]
        assert set(statuses(callers, *calls, dice=dice)) == {200}
