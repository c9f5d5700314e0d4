"""Searching past a full trash: never shown, and never worth more than two searches."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from entities.models import Entity
from intelligence import retrieval, visibility
from intelligence.models import Face
from intelligence.retrieval import IntelligenceRetrieveService, NotFoundError
from tests.factories import make_collection
from tests.intelligence.likeness import put
from vectors import Hit, QdrantVectorStore

pytestmark = pytest.mark.django_db

FULL = 3 * retrieval.SPARE_HITS
"""Trash enough to take all the places of a first search."""


@pytest.fixture
def searches(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many hits each search of the engine gave."""
    found: list[int] = []
    search = QdrantVectorStore.search_like

    def counted(store: QdrantVectorStore, id: int, **options: Any) -> list[Hit] | None:
        hits = search(store, id, **options)
        found.append(len(hits or ()))
        return hits

    monkeypatch.setattr(QdrantVectorStore, "search_like", counted)
    return found


def make_rows(number: int, **fields: Any) -> list[Entity]:
    """Images without files, many at once."""
    before = Entity.objects.count()
    now = timezone.now()
    usual = {"is_collection": False, "type": "image", "added_date": now, "updated_date": now}
    return Entity.objects.bulk_create(
        Entity(**{**usual, **fields}, md5=f"{before + index:032x}", file_path="x") for index in range(number)
    )


def make_faces(entities: list[Entity]) -> list[Face]:
    return Face.objects.bulk_create(
        Face(entity=entity, bbox={}, landmarks={}, confidence=1, quality=1, model="m", file_path="x")
        for entity in entities
    )


def trashed_folder() -> int:
    """Of a collection below a deleted one."""
    outer = make_collection()
    inner = make_collection(parent_id=outer.pk)
    Entity.objects.filter(pk=outer.pk).update(is_deleted=True)
    return inner.pk


def spread(rows: list[Any], start: float, stop: float) -> dict[Any, float]:
    step = (stop - start) / len(rows)
    return {row: start + number * step for number, row in enumerate(rows)}


def similar(entity: Entity, store: QdrantVectorStore, *, limit: int = 5) -> list[int]:
    found = IntelligenceRetrieveService().similar_entities(entity.pk, store=store, limit=limit, threshold=0.5)
    return [hit.entity.pk for hit in found]


@pytest.mark.parametrize("directly", [True, False])
def test_images_behind_a_full_trash_are_found(searches: list[int], *, directly: bool) -> None:
    [first] = make_rows(1)
    trash = make_rows(FULL, is_deleted=True) if directly else make_rows(FULL, parent_id=trashed_folder())
    shown = make_rows(7)
    store = put("clip", {first: 0, **spread(trash, 0.1, 10), **spread(shown, 11, 20)})

    with CaptureQueriesContext(connection) as queries:
        assert similar(first, store) == [each.pk for each in shown[:5]]

    assert len(searches) == 2
    assert len(queries) <= 8


@pytest.mark.parametrize("directly", [True, False])
def test_faces_behind_a_full_trash_are_found(searches: list[int], *, directly: bool) -> None:
    [first, *shown] = make_faces(make_rows(8))
    gone = make_rows(FULL, is_deleted=True) if directly else make_rows(FULL, parent_id=trashed_folder())
    store = put("face", {first: 0, **spread(make_faces(gone), 0.1, 10), **spread(shown, 11, 20)})

    found = IntelligenceRetrieveService().similar_faces(first.pk, store=store, limit=5, threshold=0.5)

    assert [hit.face.pk for hit in found] == [face.pk for face in shown[:5]]
    assert len(searches) == 2


def test_without_trash_one_search_does(searches: list[int]) -> None:
    [first, *shown] = make_rows(FULL)
    store = put("clip", {first: 0, **spread(shown, 1, 20)})
    assert similar(first, store) == [each.pk for each in shown[:5]]
    assert len(searches) == 1


def test_some_trash_is_worth_no_second_search(searches: list[int]) -> None:
    [first, *shown] = make_rows(FULL)
    trash = make_rows(retrieval.SPARE_HITS, is_deleted=True)
    store = put("clip", {first: 0, **spread(trash, 0.1, 1), **spread(shown, 1, 20)})
    assert similar(first, store) == [each.pk for each in shown[:5]]
    assert len(searches) == 1


def test_what_the_engine_is_told_to_hide_takes_no_places(searches: list[int]) -> None:
    [first, *shown] = make_rows(8)
    trash = make_rows(FULL, is_deleted=True)
    put("clip", spread(trash, 0.1, 10), hidden=True)
    store = put("clip", {first: 0, **spread(shown, 11, 20)})
    assert similar(first, store) == [each.pk for each in shown[:5]]
    assert searches == [7]


def test_where_all_that_is_alike_is_in_the_trash_nothing_is_similar(searches: list[int]) -> None:
    [first] = make_rows(1)
    store = put("clip", {first: 0, **spread(make_rows(FULL, is_deleted=True), 0.1, 10)})
    with pytest.raises(NotFoundError, match="no similar images found"):
        similar(first, store)
    assert searches == [5 + retrieval.SPARE_HITS, 0]


def test_more_trash_than_can_be_told_costs_results_but_never_shows(
    searches: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(visibility, "TRASH_LIMIT", 10)
    [first] = make_rows(1)
    trash = make_rows(FULL, is_deleted=True)
    shown = make_rows(7)
    store = put("clip", {first: 0, **spread(trash, 0.1, 10), **spread(shown, 11, 20)})
    with pytest.raises(NotFoundError):
        similar(first, store)
    assert len(searches) == 2


def test_vectors_of_removed_images_are_passed_over(searches: list[int]) -> None:
    rows = make_rows(retrieval.SPARE_HITS + 20)
    first, gone, shown = rows[0], rows[1:-10], rows[-10:]
    store = put("clip", {first: 0, **spread(gone, 0.1, 10), **spread(shown, 11, 20)})
    Entity.objects.filter(pk__in=[each.pk for each in gone]).delete()
    assert similar(first, store) == [each.pk for each in shown[:5]]
    assert len(searches) == 2


def test_scores_are_not_below_0() -> None:
    [first, opposite] = make_rows(2)
    store = put("clip", {first: 0, opposite: 100})
    [hit] = IntelligenceRetrieveService().similar_entities(first.pk, store=store, limit=5, threshold=-0.5)
    assert (hit.entity, hit.score) == (opposite, 0)


def test_what_is_in_the_trash() -> None:
    folder = trashed_folder()
    shown, deleted, below = make_rows(2), make_rows(2, is_deleted=True), make_rows(2, parent_id=folder)
    faces = {each.entity_id: each.pk for each in make_faces([*shown, *deleted, *below])}
    in_trash = {each.pk for each in (*deleted, *below)}

    assert visibility.entities_in_trash() == in_trash
    assert visibility.faces_in_trash() == {faces[pk] for pk in in_trash}
    assert visibility.shown_entities([*faces, folder, 4711]) == {each.pk for each in shown}
    assert visibility.shown_faces([*faces.values(), 4711]) == {faces[each.pk] for each in shown}


def test_a_restored_folder_is_out_of_the_trash() -> None:
    folder = trashed_folder()
    rows = make_rows(2, parent_id=folder)
    Entity.objects.update(is_deleted=False)
    assert visibility.entities_in_trash() == frozenset()
    assert visibility.shown_entities([each.pk for each in rows]) == {each.pk for each in rows}
