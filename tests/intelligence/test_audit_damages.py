"""Two hundred damages at random: the audit names each and nothing else, the repair harms nothing."""

from __future__ import annotations

import hashlib
import json
import random
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from entities import counting
from entities.models import Entity
from entities.previews import PreviewService
from intelligence import processing
from tests.factories import make_collection, make_photo, store
from tests.intelligence.damages import CLIP, Damager, rows
from tests.intelligence.pipeline import Pipeline
from tests.store_at_rest import StoreAtRest
from vectors import get_clip_store, get_dino_store, get_face_store

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.timeout(300)]

DAMAGES = 200
STORES = {"clip": get_clip_store, "dino": get_dino_store, "face": get_face_store}
UNMENDABLE = {"missing_file", "altered_file"}


def audit(*options: str) -> tuple[int, list[dict[str, Any]]]:
    """The exit code, and the findings."""
    out = StringIO()
    try:
        call_command("audit", "--json", "--grace", "0", "--deep", *options, stdout=out, stderr=StringIO())
    except CommandError as error:
        return error.returncode, _findings(out)
    return 0, _findings(out)


def _findings(out: StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in out.getvalue().splitlines()]


def about(finding: dict[str, Any]) -> tuple[str, Any]:
    """As damages say it."""
    kind = finding["kind"]
    if "vector_id" in finding:
        return kind, (finding["collection"], finding["vector_id"])
    if kind == "lost_job":
        return kind, (finding["entity_id"], finding["note"])
    if kind in {"missing_file", "altered_file", "lost_entity"}:
        return kind, finding["entity_id"]
    return kind, finding.get("face_id", finding.get("file_path", finding.get("entity_id")))


def everything(media: Path, *, without: set[int] = frozenset()) -> dict[str, Any]:  # type: ignore[assignment]
    """Rows, files and vectors, read by plain SQL, from the disk and from the stores."""
    kept = f"NOT IN ({', '.join(map(str, sorted(without) or [0]))})"
    tables = {"entities_entity": "id", "entities_historicalentity": "id", "intelligence_face": "entity_id"}
    found: dict[str, Any] = {
        table: sorted(map(repr, rows(f"SELECT * FROM {table} WHERE {column} {kept}")))
        for table, column in tables.items()
    }
    results = "entity_id, md5, processing_status, face_count, clip_status, dino_status"
    table = "intelligence_imageintelligence"
    found[table] = sorted(rows(f"SELECT {results} FROM {table} WHERE entity_id {kept}"))
    paths = [path for (path,) in rows(f"SELECT file_path FROM entities_entity WHERE id {kept}") if path]
    paths += [path for (path,) in rows(f"SELECT file_path FROM intelligence_face WHERE entity_id {kept}")]
    found["files"] = {path: hashlib.sha256((media / path).read_bytes()).hexdigest() for path in paths}
    for name, get in STORES.items():
        owners = {each.id: each.payload["entity_id"] for each in get().scroll()}
        ids = sorted(pk for pk, owner in owners.items() if owner not in without and owner < 10**9)
        found[name] = {pk: vector.tobytes() for pk, vector in get().fetch(ids).items()}
    return found


def every_byte(media: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in media.rglob("*") if path.is_file()}


@pytest.fixture
def images(pipeline: Pipeline, media_root: Path, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """In collections and at the top, with previews, beside texts and trash."""
    monkeypatch.setattr(processing, "_service", pipeline.processing)
    counting.count_again()  # the end of another test deletes parents before what lies in them
    parents = [None, *(make_collection(f"collection {number}").pk for number in range(5))]
    photos = [make_photo(seed, parent_id=parents[seed % len(parents)]) for seed in range(230)]
    store(b"a text")
    trashed = make_photo(1000)
    pipeline.work()
    Entity.objects.filter(pk=trashed.pk).update(is_deleted=True)
    rows(f"UPDATE entities_historicalentity SET is_deleted = TRUE WHERE id = {trashed.pk}")
    previews = PreviewService(media_root, max_pixels=10**8)
    for photo in photos:
        previews.ensure(media_root / str(photo.file_path), str(photo.md5), "image")
    return [photo.pk for photo in photos]


def test_each_damage_is_named_and_mended_and_nothing_else_is_touched(
    pipeline: Pipeline, images: list[int], media_root: Path, data_dir: Path
) -> None:
    assert get_clip_store().current_model() == CLIP
    assert audit() == (0, [])
    collections = [pk for (pk,) in rows("SELECT id FROM entities_entity WHERE is_collection")]
    damager = Damager(media_root, list(images), collections, random.Random(8))
    damager.damage(DAMAGES)
    assert damager.number == DAMAGES
    before, bytes_before = everything(media_root, without=damager.hit), every_byte(media_root)

    code, findings = audit()

    named = [about(finding) for finding in findings]
    assert code == 1
    assert len(named) == len(set(named))
    assert set(named) - damager.owed == set(), "false reports"
    assert damager.owed - set(named) == set(), "not noticed"
    assert every_byte(media_root) == bytes_before, "it only looks"

    code, mended = audit("--fix")
    pipeline.work()

    assert code == 1
    outcomes = {about(each): each["outcome"] for each in mended}
    assert outcomes.keys() == damager.owed
    left = {key for key, outcome in outcomes.items() if outcome == "cannot be mended"}
    assert left == {owed for owed in damager.owed if owed[0] in UNMENDABLE}
    assert everything(media_root, without=damager.hit) == before, "harm"

    code, findings = audit()
    assert {about(each) for each in findings} == left
    assert violations(media_root, data_dir, beside={pk for _, pk in left}) == []
    assert [each for each in every_byte(media_root) if "/quarantine/" in each]


def violations(media: Path, data_dir: Path, *, beside: set[int]) -> list[str]:
    """Work that was done twice because it was asked for again is none."""
    points = {name: {each.id: each.payload for each in get().scroll()} for name, get in STORES.items()}
    found = StoreAtRest(rows, media, data_dir / "compute", points).violations()
    unmendable = {f"entity {pk} names a file that is missing" for pk in beside}
    unmendable |= {f"the file of entity {pk} is not what it was" for pk in beside}
    return [each for each in found if each not in unmendable and not each.endswith((" times",))]
