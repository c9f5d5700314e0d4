"""A very large removal: out of sight at once, gone slice by slice, whatever happens in between."""

from __future__ import annotations

from pathlib import Path

import pytest

from entities import services
from entities.models import DiscardedFile, Entity, Removal
from entities.services import removing
from entities.storage import EntityStorageService
from entities.tasks import carry_on_removals, purge_trash, sweep_files
from entities.versions import History
from tests.entities.api.client import Api, media_files, trash, upload
from tests.factories import jpeg, make_collection, make_photo
from tests.invariants import entity_violations

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def _small_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(removing, "MOST_AT_ONCE", 3)
    monkeypatch.setattr(removing, "SLICE", 2)
    monkeypatch.setattr(removing, "PAUSE_SECONDS", 0)


class Tree:
    """In the trash: two collections with two photos each, one below the other; beside it one of each."""

    def __init__(self) -> None:
        self.beside = make_collection("beside")
        self.kept = make_photo(9, parent_id=self.beside.pk, label="a kept one")
        self.root = make_collection("the root", parent_id=self.beside.pk)
        self.inner = make_collection("inner", parent_id=self.root.pk)
        self.photos = [make_photo(seed, parent_id=self.root.pk, label="a lost one") for seed in (1, 2)]
        self.photos += [make_photo(seed, parent_id=self.inner.pk, label="a lost one") for seed in (3, 4)]
        trash(self.root)

    @property
    def hidden(self) -> list[Entity]:
        return [self.root, self.inner, *self.photos]


@pytest.fixture
def tree(api: Api, media_root: Path) -> Tree:
    made = Tree()
    assert api.client.delete(f"/entities/{made.root.pk}").status_code == 204
    assert Removal.objects.count() == 6
    return made


def slices(number: int) -> None:
    for _ in range(number):
        removing._remove_slice(EntityStorageService.from_settings())


def test_nobody_sees_it_from_then_on(api: Api, tree: Tree) -> None:
    for _ in range(4):  # while it goes
        for entity in tree.hidden:
            for path in ("", "/versions", "/media", "/preview"):
                assert api.get(f"/entities/{entity.pk}{path}").status_code == 404
            assert api.get(f"/intelligence/entities/{entity.pk}").status_code == 404
        listed = api.get("/entities").json()
        assert [item["id"] for item in listed["items"]] == [tree.kept.pk, tree.beside.pk]
        assert listed["pagination"]["total_items"] == 2
        assert api.ids(parent_id=tree.root.pk) == api.ids(search_query="lost") == []
        assert api.get("/entities", search_query="lost").json()["pagination"]["total_items"] == 0
        assert api.get("/entities", type="image").json()["pagination"]["total_items"] == 1
        assert api.get("/entities/lookup", md5=tree.photos[0].md5).status_code == 404
        assert api.get("/entities/lookup", label="inner").status_code == 404
        assert api.get(f"/entities/{tree.beside.pk}").json()["children_count"] == 1
        slices(1)


def test_all_of_it_goes_and_nothing_else(api: Api, tree: Tree, media_root: Path) -> None:
    assert carry_on_removals() == 6
    assert list(Entity.all_rows.order_by("pk")) == [tree.beside, tree.kept]
    assert media_files("store") == [tree.kept.file_path]
    assert not Removal.objects.exists()
    assert not DiscardedFile.objects.exists()
    for entity in tree.hidden:
        last = History.objects.filter(id=entity.pk).latest("history_id")
        assert (last.history_type, last.history_user_id) == ("-", "writer-1")
    assert entity_violations(media_root) == []


def test_a_crash_between_two_slices_loses_no_work(
    api: Api, tree: Tree, media_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Killed(BaseException):
        pass

    def die(*_arguments: object) -> None:
        raise Killed

    slices(1)
    with monkeypatch.context() as patch:
        patch.setattr("entities.versions.write_last", die)
        with pytest.raises(Killed):
            slices(1)
    with monkeypatch.context() as patch:
        patch.setattr("entities.disposal._dispose_these", die)
        with pytest.raises(Killed):
            slices(1)
    assert Removal.objects.count() == 2
    assert carry_on_removals() == 2
    sweep_files()
    assert entity_violations(media_root) == []


def test_the_same_bytes_become_a_new_entity(api: Api, tree: Tree, media_root: Path) -> None:
    answer = api.send("post", "/entities", is_collection="false", media_file=upload(jpeg(1)))
    assert answer.status_code == 201
    new = answer.json()
    assert new["id"] not in [entity.pk for entity in tree.hidden]
    assert api.get(f"/entities/{new['id']}/media").status_code == 200
    replaced = api.send(
        "put", f"/entities/{tree.kept.pk}", is_collection="false", label="x", media_file=upload(jpeg(3))
    )
    assert replaced.status_code == 200, replaced.content
    assert carry_on_removals() == 4
    assert api.get(f"/entities/{new['id']}/media").status_code == 200
    assert api.get(f"/entities/{tree.kept.pk}/media").status_code == 200
    assert entity_violations(media_root) == []


def test_there_is_no_way_back_and_no_way_in(api: Api, tree: Tree, media_root: Path) -> None:
    for entity in tree.hidden:
        assert api.send("patch", f"/entities/{entity.pk}", is_deleted="false").status_code == 404
        assert api.client.post(f"/entities/{entity.pk}/restore?version=1").status_code == 404
        assert api.client.delete(f"/entities/{entity.pk}").status_code == 404
    moved = api.send("patch", f"/entities/{tree.kept.pk}", parent_id=str(tree.inner.pk))
    made = api.send("post", "/entities", is_collection="true", label="x", parent_id=str(tree.inner.pk))
    assert (moved.status_code, made.status_code) == (422, 422)
    assert carry_on_removals() == 6
    assert entity_violations(media_root) == []


def test_what_lies_above_can_be_removed_meanwhile(api: Api, tree: Tree, media_root: Path) -> None:
    trash(tree.beside)
    assert api.client.delete(f"/entities/{tree.beside.pk}").status_code == 204
    assert api.ids() == []
    carry_on_removals()
    assert not Entity.all_rows.exists()
    assert entity_violations(media_root) == []


def test_a_small_one_goes_at_once(api: Api, media_root: Path) -> None:
    root = make_collection("small")
    make_photo(1, parent_id=root.pk)
    trash(root)
    assert api.client.delete(f"/entities/{root.pk}").status_code == 204
    assert not Entity.all_rows.exists()


def test_without_a_retention_the_trash_is_kept(media_root: Path) -> None:
    photo = make_photo(1)
    services.patch_entity(photo.pk, {"is_deleted": True})
    History.objects.update(history_date="2020-01-01T00:00:00Z")
    assert purge_trash() == 0
    assert Entity.objects.filter(pk=photo.pk).exists()
