from __future__ import annotations

from collections.abc import Sequence

import pytest

from entities import hierarchy
from entities.errors import InvalidHierarchyError
from entities.models import Entity
from tests.factories import make_collection, make_photo

pytestmark = pytest.mark.django_db


def _chain(length: int) -> list[int]:
    """Collections in one another, the outermost first."""
    chain: list[int] = []
    for level in range(length):
        chain.append(make_collection(f"level {level}", parent_id=chain[-1] if chain else None).pk)
    return chain


def _refusal(parent_id: int | None, *, moved_id: int | None = None) -> str:
    with pytest.raises(InvalidHierarchyError) as refused:
        hierarchy.check_parent(parent_id, moved_id=moved_id)
    return str(refused.value)


def test_a_live_collection_and_the_root_may_hold_anything() -> None:
    album, photo = make_collection("album"), make_photo(1)
    hierarchy.check_parent(None)
    hierarchy.check_parent(album.pk)
    hierarchy.check_parent(album.pk, moved_id=photo.pk)


def test_what_may_hold_nothing() -> None:
    photo, deleted = make_photo(1), make_collection("deleted")
    Entity.objects.filter(pk=deleted.pk).update(is_deleted=True)
    assert "does not exist" in _refusal(4711)
    assert "not a collection" in _refusal(photo.pk)
    assert "restore it first" in _refusal(deleted.pk)


@pytest.mark.parametrize("below", [0, 1, 2])
def test_nothing_comes_below_itself(below: int) -> None:
    chain = _chain(3)
    assert "Circular hierarchy detected" in _refusal(chain[below], moved_id=chain[0])
    hierarchy.check_parent(chain[0], moved_id=chain[2])


def test_the_deepest_level() -> None:
    chain = _chain(hierarchy.MAX_DEPTH - 1)
    hierarchy.check_parent(chain[-1])
    last = make_collection("the deepest", parent_id=chain[-1])
    assert "Maximum hierarchy depth exceeded" in _refusal(last.pk)


def test_the_height_of_what_is_moved_counts() -> None:
    chain, (top, *_) = _chain(hierarchy.MAX_DEPTH - 3), _chain(3)
    hierarchy.check_parent(chain[-1], moved_id=top)
    make_photo(1, parent_id=Entity.objects.get(label="level 2", parent__parent=top).pk)
    assert "Maximum hierarchy depth exceeded" in _refusal(chain[-1], moved_id=top)


def test_the_trash_of_an_ancestor_reaches_all_below() -> None:
    first, second = _chain(3), _chain(2)
    Entity.objects.filter(pk=first[1]).update(is_deleted=True)
    assert hierarchy.deleted_or_below_deleted([*first, *second, None, 4711]) == set(first[1:])
    assert hierarchy.deleted_or_below_deleted([None]) == set()


def test_a_subtree_comes_level_by_level() -> None:
    top, inner, innermost = _chain(3)
    photos = [make_photo(seed, parent_id=parent).pk for seed, parent in enumerate((top, inner, innermost))]
    assert _sorted(hierarchy.subtree(top)) == [[top], [inner, photos[0]], [innermost, photos[1]], [photos[2]]]
    assert hierarchy.subtree(photos[0]) == [[photos[0]]]
    assert hierarchy.subtree(4711) == []


def _sorted(levels: Sequence[Sequence[int]]) -> list[list[int]]:
    return [sorted(level) for level in levels]


def test_a_cycle_that_should_not_be_there_ends() -> None:
    outer, inner = _chain(2)
    Entity.objects.filter(pk=outer).update(parent_id=inner)
    assert hierarchy.deleted_or_below_deleted([inner]) == set()
    assert {pk for level in hierarchy.subtree(outer) for pk in level} == {outer, inner}
