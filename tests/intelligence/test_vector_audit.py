"""Vectors that are lost, all or some, come back; those without an owner are told of."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from entities.storage import EntityStorageService
from intelligence import model_versions, vector_audit
from intelligence.models import Face
from intelligence.processing import IntelligenceProcessingService
from intelligence.vocabulary import ProcessingStatus, TaskType
from tests.factories import make_photo
from tests.intelligence.pipeline import Pipeline, row_of
from vectors import Hit, VectorPoint, close_stores, get_clip_store, get_dino_store, get_face_store
from vectors.engines.edge import EdgeEngine

pytestmark = pytest.mark.django_db(transaction=True)


def restarted(pipeline: Pipeline) -> Pipeline:
    processing = IntelligenceProcessingService.of(pipeline.client, EntityStorageService.from_settings())
    return Pipeline(processing, pipeline.client, pipeline.started)


def answers(entity_ids: list[int]) -> list[list[Hit] | None]:
    faces = list(Face.objects.filter(entity__in=entity_ids).values_list("pk", flat=True))
    found = [
        store.search_like(pk, limit=9) for pk in entity_ids for store in (get_clip_store(), get_dino_store())
    ]
    return [*found, *(get_face_store().search_like(pk, limit=9) for pk in faces)]


def rounded(found: list[list[Hit] | None]) -> object:
    return [[(hit.id, round(hit.score, 4), hit.payload) for hit in hits or ()] for hits in found]


@pytest.mark.parametrize("by", ["the sweep", "the command"])
def test_losing_the_folder_costs_time_only(pipeline: Pipeline, data_dir: Path, by: str) -> None:
    made = [make_photo(seed).pk for seed in range(4)]
    pipeline.work()
    before = rounded(answers(made))
    close_stores()
    shutil.rmtree(data_dir / "vectors")

    pipeline = restarted(pipeline)
    assert answers(made) == [None] * 16
    if by == "the sweep":
        assert pipeline.processing.audit.sweep() == 16
    else:
        assert sum(each.asked_again for each in pipeline.processing.audit.check(mend=True)) == 16
    pipeline.work()

    assert rounded(answers(made)) == before
    assert all(row_of(pk).processing_status == ProcessingStatus.COMPLETED for pk in made)
    assert pipeline.processing.audit.sweep() == 0


def test_losing_the_folder_while_it_is_used_is_noticed_and_mended(pipeline: Pipeline, data_dir: Path) -> None:
    made = [make_photo(seed).pk for seed in range(4)]
    pipeline.work()
    before = rounded(answers(made))
    shutil.rmtree(data_dir / "vectors")
    engine = get_clip_store()._engine
    assert isinstance(engine, EdgeEngine)
    engine._keeper._notice_loss()  # as its thread does every few seconds

    assert answers(made) == [None] * 16
    assert pipeline.processing.audit.sweep() == 16
    pipeline.work()

    assert rounded(answers(made)) == before
    assert pipeline.processing.audit.sweep() == 0


def test_single_vectors_are_missed(pipeline: Pipeline) -> None:
    made = [make_photo(seed).pk for seed in range(4)]
    pipeline.work()
    face = Face.objects.filter(entity=made[2]).latest("pk").pk
    get_clip_store().delete([made[1]])
    get_face_store().delete([face])

    assert pipeline.processing.audit.sweep() == 2
    pipeline.work()

    assert get_clip_store().fetch(made).keys() == set(made)
    assert face in get_face_store().fetch([face])
    assert pipeline.processing.audit.sweep() == 0


def test_of_a_model_in_the_background_too(pipeline: Pipeline) -> None:
    made = [make_photo(seed).pk for seed in range(4)]
    pipeline.work()
    model_versions.start(TaskType.CLIP_EMBEDDING, "fake2-clip-512", by=None)
    pipeline.work()
    before = get_clip_store().fetch(made, model="fake2-clip-512")
    get_clip_store().drop("fake2-clip-512")

    assert pipeline.processing.audit.sweep() == 4
    pipeline.work()

    after = get_clip_store().fetch(made, model="fake2-clip-512")
    assert all(np.array_equal(before[pk], after[pk]) for pk in made)


def test_each_sweep_looks_at_the_next_span(pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    made = [make_photo(seed).pk for seed in range(5)]
    pipeline.work()
    monkeypatch.setattr(vector_audit, "SPAN", 2)
    get_clip_store().delete(made)
    assert [pipeline.processing.audit.sweep() for _ in range(4)] == [2, 2, 1, 0]


def test_a_look_changes_nothing_and_tells_what_has_no_owner(pipeline: Pipeline) -> None:
    made = [make_photo(seed).pk for seed in range(3)]
    pipeline.work()
    clip = get_clip_store()
    clip.delete([made[0]])
    clip.upsert([VectorPoint(10**9, np.ones(512, np.float32))], model="fake-clip-512")

    told, *_ = pipeline.processing.audit.check(frozenset([TaskType.CLIP_EMBEDDING]), mend=False)

    assert (told.vectors, told.lost, told.asked_again, told.first_orphans) == (3, 1, 0, (10**9,))
    assert pipeline.dispatch() == 0


def test_what_waits_or_lies_in_the_trash_is_no_loss(pipeline: Pipeline) -> None:
    trashed, waiting = make_photo(1), make_photo(2)
    pipeline.work()
    get_clip_store().delete([trashed.pk])
    type(trashed).objects.filter(pk=trashed.pk).update(is_deleted=True)
    row_of(waiting.pk).delete()
    told = pipeline.processing.audit.check(mend=False)
    assert sum(each.lost for each in told) == 0
