"""Two models of one task: filled in the background, switched, rolled back, dropped; never compared."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from entities import services
from intelligence import model_versions, pauses
from intelligence.compute.base import Capabilities, ModelInfo
from intelligence.compute.image_models import FixedModels
from intelligence.disagreements import Span
from intelligence.model_versions import State, VersionError
from intelligence.models import EntityJob, Face, ModelVersion, ModelVersionEvent
from intelligence.vocabulary import JobStatus, ProcessingStatus, TaskType
from tests.factories import make_photo
from tests.intelligence.pipeline import Pipeline, row_of
from vectors import (
    ModelMismatchError,
    VectorKind,
    VectorPoint,
    get_clip_store,
    get_dino_store,
    get_face_store,
)

pytestmark = pytest.mark.django_db(transaction=True)

CLIP, FACE = TaskType.CLIP_EMBEDDING, TaskType.FACE_EMBEDDING
OLD, NEW = "fake-clip-512", "fake2-clip-512"
OLD_FACES, NEW_FACES = "fake-face-512", "fake2-face-512"


def version(model: str) -> ModelVersion:
    return ModelVersion.objects.get(model=model)


def ids(model: str | None = None) -> set[int]:
    return {each.id for each in get_clip_store().scroll(model=model)}


def photos(pipeline: Pipeline, number: int = 3) -> set[int]:
    made = {make_photo(seed).pk for seed in range(number)}
    pipeline.work()
    return made


def begin(pipeline: Pipeline, task: TaskType = CLIP, model: str = NEW) -> None:
    pipeline.processing.jobs.models.begin(task, model, by="Ada")
    pipeline.work()


# --- Filling ---


def test_a_further_model_is_filled_in_the_background(pipeline: Pipeline) -> None:
    made = photos(pipeline)
    before = [row_of(pk).updated_at for pk in made]
    model_versions.start(CLIP, NEW, by="Ada")
    assert model_versions.progress(version(NEW)).missing == 3
    pipeline.work()
    assert ids(OLD) == ids(NEW) == made
    assert [get_clip_store().current_model(), ids()] == [OLD, made]
    assert [row_of(pk).updated_at for pk in made] == before
    told = model_versions.progress(version(NEW))
    assert (told.total, told.done, told.missing, told.under_way) == (3, 3, 0, 0)
    vectors = [get_clip_store().fetch(made, model=model) for model in (OLD, NEW)]
    assert all(not np.allclose(vectors[0][pk], vectors[1][pk]) for pk in made)


def test_faces_too(pipeline: Pipeline) -> None:
    photos(pipeline)
    begin(pipeline, FACE, NEW_FACES)
    faces = set(Face.objects.values_list("pk", flat=True))
    assert {each.id for each in get_face_store().scroll(model=NEW_FACES)} == faces
    assert model_versions.progress(version(NEW_FACES)).done == 6
    model_versions.switch(FACE, by="Ada")
    assert get_face_store().current_model() == NEW_FACES


def test_new_uploads_go_to_both(pipeline: Pipeline) -> None:
    begin(pipeline)
    made = photos(pipeline)
    assert ids(OLD) == ids(NEW) == made


def test_fresh_uploads_come_first(pipeline: Pipeline) -> None:
    photos(pipeline)
    model_versions.start(CLIP, NEW, by="Ada")
    pauses.pause(CLIP, by="Ada")
    make_photo(9)
    pipeline.work()  # the upload waits
    pauses.resume(CLIP)
    pipeline.reconcile()
    background = EntityJob.objects.filter(background=True)
    assert pipeline.processing.reembedding.dispatch() == 0 == background.count()
    pipeline.processing.jobs.dispatch()
    assert pipeline.processing.reembedding.dispatch() == 4 == background.count()
    outstanding = pipeline.processing.jobs.max_outstanding
    assert pipeline.processing.jobs.dispatch() == 0
    assert outstanding > 4  # the four took none of that room


def test_a_pause_holds_it_back(pipeline: Pipeline) -> None:
    photos(pipeline)
    pauses.pause(CLIP, by="Ada")
    begin(pipeline)
    assert not EntityJob.objects.filter(model=NEW).exists()
    pauses.resume(CLIP)
    pipeline.work()
    assert model_versions.progress(version(NEW)).missing == 0


def test_it_goes_on_where_it_was_and_takes_no_more_than_its_room(
    pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("intelligence.reembedding.STRETCH", 4)
    made = photos(pipeline, 30)
    model_versions.start(CLIP, NEW, by="Ada")
    room = pipeline.processing.jobs.max_outstanding // 2
    assert pipeline.dispatch() == room < 30
    assert pipeline.dispatch() == 0
    assert version(NEW).asked_up_to == sorted(made)[room - 1]
    pipeline.work()
    assert ids(NEW) == made
    assert EntityJob.objects.filter(model=NEW).count() == 30


def test_what_was_passed_by_is_found_again(pipeline: Pipeline) -> None:
    made = photos(pipeline)
    begin(pipeline)
    one = min(made)
    EntityJob.objects.filter(entity=one, model=NEW).delete()
    get_clip_store().delete([one])
    pipeline.processing.sweeper.reembedding.look_again(Span(0, None))
    pipeline.work()
    assert ids(NEW) == made


def test_what_fails_is_told_and_asked_for_again(pipeline: Pipeline) -> None:
    made = photos(pipeline)
    begin(pipeline)
    failed = EntityJob.objects.filter(model=NEW, entity=min(made))
    failed.update(status=JobStatus.FAILED)
    told = model_versions.progress(version(NEW))
    assert (told.done, told.failed, told.missing) == (2, 1, 1)
    with pytest.raises(VersionError, match=r"lacks 1 of 3 vectors \(1 have failed\)"):
        model_versions.switch(CLIP, by="Ada")
    assert not model_versions.start(CLIP, NEW, by="Ada")
    pipeline.work()
    assert model_versions.progress(version(NEW)).missing == 0


# --- Switching ---


def test_switching_and_rolling_back_is_seen_at_once(pipeline: Pipeline) -> None:
    made = photos(pipeline)
    with pytest.raises(VersionError, match="no other model"):
        model_versions.switch(CLIP, by="Ada")
    begin(pipeline)
    store, one = get_clip_store(), min(made)
    old, new = (store.fetch([one], model=model)[one] for model in (OLD, NEW))
    with pytest.raises(VersionError, match="Nothing was switched"):
        model_versions.roll_back(CLIP, by="Ada")
    for change, current, vector in (
        (model_versions.switch, NEW, new),
        (model_versions.roll_back, OLD, old),
        (model_versions.switch, NEW, new),
    ):
        change(CLIP, by="Ada")
        assert model_versions.current_model(VectorKind.CLIP) == store.current_model() == current
        np.testing.assert_array_equal(store.fetch([one])[one], vector)
    assert pipeline.processing.sweeper.sweep_images() == 0
    told = ModelVersionEvent.objects.filter(task_type=CLIP).values_list("model", "state", "by")
    assert list(told) == [
        (OLD, "current", "the configuration"),
        (NEW, "filling", "Ada"),
        (OLD, "previous", "Ada"),
        (NEW, "current", "Ada"),
        (NEW, "filling", "Ada"),
        (OLD, "current", "Ada"),
        (OLD, "previous", "Ada"),
        (NEW, "current", "Ada"),
    ]


def test_a_switch_waits_for_what_is_missing_unless_forced(pipeline: Pipeline) -> None:
    photos(pipeline)
    model_versions.start(CLIP, NEW, by="Ada")
    with pytest.raises(VersionError, match="lacks 3 of 3"):
        model_versions.switch(CLIP, by="Ada")
    model_versions.switch(CLIP, by="Ada", force=True)
    assert get_clip_store().current_model() == NEW
    assert get_clip_store().search_like(1, limit=3) is None
    pipeline.processing.sweeper.sweep_images()
    pipeline.work()
    assert ids() == ids(OLD)


def test_after_a_switch_uploads_still_go_to_both(pipeline: Pipeline) -> None:
    photos(pipeline)
    begin(pipeline)
    model_versions.switch(CLIP, by="Ada")
    late = make_photo(9)
    pipeline.work()
    assert late.pk in ids(OLD) & ids(NEW)
    assert EntityJob.objects.get(entity=late, model=OLD).background
    assert not EntityJob.objects.get(entity=late, model=NEW).background
    assert row_of(late.pk).processing_status == ProcessingStatus.COMPLETED


# --- Never compared ---


def test_a_vector_of_another_model_is_refused(pipeline: Pipeline) -> None:
    made = photos(pipeline)
    begin(pipeline)
    store = get_clip_store()
    of_new = store.fetch(made, model=NEW)[min(made)]
    with pytest.raises(ModelMismatchError):
        store.search(of_new, model=NEW, limit=1)
    model_versions.switch(CLIP, by="Ada")
    assert store.search(of_new, model=NEW, limit=1)[0].id == min(made)
    with pytest.raises(ModelMismatchError):
        store.search(of_new, model=OLD, limit=1)


@pytest.mark.parametrize("change", ["switch", "roll back"])
def test_results_that_arrive_after_a_change_go_where_they_belong(pipeline: Pipeline, change: str) -> None:
    made = photos(pipeline)
    begin(pipeline)
    if change == "roll back":
        model_versions.switch(CLIP, by="Ada")
    late = make_photo(9)
    pipeline.reconcile()
    pipeline.dispatch()
    pipeline.dispatch()
    ended = pipeline.run()
    if change == "switch":
        model_versions.switch(CLIP, by="Ada")
    else:
        model_versions.roll_back(CLIP, by="Ada")
    pipeline.finish(ended)
    pipeline.work()
    pipeline.processing.sweeper.sweep_images()
    pipeline.work()
    assert ids(OLD) == ids(NEW) == {*made, late.pk}
    for job in EntityJob.objects.filter(entity=late, task_type=CLIP):
        assert job.status == JobStatus.COMPLETED
    store = get_clip_store()
    one, other = (store.fetch([late.pk], model=model)[late.pk] for model in (OLD, NEW))
    np.testing.assert_allclose(other, one**2 / np.linalg.norm(one**2), atol=1e-6)
    assert row_of(late.pk).processing_status == ProcessingStatus.COMPLETED


def test_a_result_for_a_dropped_model_leaves_no_trace(pipeline: Pipeline) -> None:
    made = photos(pipeline)
    model_versions.start(CLIP, NEW, by="Ada")
    pipeline.dispatch()
    ended = pipeline.run()
    model_versions.drop(CLIP, by="Ada")
    pipeline.finish(ended)
    pipeline.processing.audit.sweep()
    pipeline.work()
    assert get_clip_store().models() == {OLD: 512}
    assert set(EntityJob.objects.filter(model=NEW).values_list("status", flat=True)) == {JobStatus.DISCARDED}
    assert all(row_of(pk).processing_status == ProcessingStatus.COMPLETED for pk in made)


def test_a_job_that_was_written_down_while_its_model_was_dropped_leaves_no_trace(pipeline: Pipeline) -> None:
    photos(pipeline)
    model_versions.start(CLIP, NEW, by="Ada")
    pipeline.dispatch()
    ended = pipeline.run()
    ModelVersion.objects.filter(model=NEW).update(state=State.DROPPED)
    pipeline.finish(ended)
    assert NEW not in get_clip_store().models()
    assert set(EntityJob.objects.filter(model=NEW).values_list("status", flat=True)) == {JobStatus.DISCARDED}


def test_a_result_under_the_wrong_name_is_refused(pipeline: Pipeline) -> None:
    """Compute says that another model made it than was asked for."""
    photos(pipeline)
    model_versions.start(CLIP, NEW, by="Ada")
    pipeline.dispatch()
    ended = pipeline.run()
    EntityJob.objects.filter(model=NEW).update(model=OLD, background=True)
    before = get_clip_store().fetch(ids())
    pipeline.finish(ended)
    after = get_clip_store().fetch(ids())
    assert all(np.array_equal(before[pk], after[pk]) for pk in before)
    assert NEW not in get_clip_store().models()


# --- Dropping ---


def test_dropping_the_old_one_keeps_all_of_the_new(pipeline: Pipeline) -> None:
    made = photos(pipeline)
    begin(pipeline)
    model_versions.switch(CLIP, by="Ada")
    with pytest.raises(VersionError, match="is not kept beside"):
        model_versions.drop(CLIP, by="Ada", model=NEW)
    model_versions.drop(CLIP, by="Ada")
    pipeline.processing.audit.sweep()
    assert get_clip_store().models() == {NEW: 512}
    assert get_clip_store().alias_model() == NEW
    assert pipeline.processing.sweeper.sweep_images() == 0
    late = make_photo(9)
    pipeline.work()
    assert ids() == {*made, late.pk}
    assert not EntityJob.objects.filter(entity=late, model=OLD).exists()


def test_a_dropped_model_begins_from_nothing(pipeline: Pipeline) -> None:
    made = photos(pipeline)
    begin(pipeline)
    model_versions.drop(CLIP, by="Ada")
    pipeline.processing.audit.sweep()
    begin(pipeline)
    assert ids(NEW) == made


def test_one_other_model_at_a_time(pipeline: Pipeline) -> None:
    photos(pipeline)
    with pytest.raises(VersionError, match="current model of clip_embedding already"):
        model_versions.start(CLIP, OLD, by="Ada")
    begin(pipeline)
    with pytest.raises(VersionError, match="drop it first"):
        model_versions.start(CLIP, "a third", by="Ada")


# --- The rest of the store takes notice of both ---


def test_new_content_replaces_the_vectors_of_both(pipeline: Pipeline) -> None:
    photo = make_photo(1)
    begin(pipeline)
    before = {model: get_clip_store().fetch([photo.pk], model=model)[photo.pk] for model in (OLD, NEW)}
    EntityJob.objects.filter(entity=photo).update(md5="of older content")
    row = row_of(photo.pk)
    type(row).objects.filter(pk=row.pk).update(clip_status=JobStatus.PENDING, processing_status="pending")
    for model in (OLD, NEW):
        get_clip_store().upsert([VectorPoint(photo.pk, -before[model])], model=model)
    pipeline.processing.sweeper.sweep_images()
    pipeline.work()
    for model, vector in before.items():
        np.testing.assert_array_equal(get_clip_store().fetch([photo.pk], model=model)[photo.pk], vector)


def test_the_trash_is_not_asked_about_until_it_comes_back(pipeline: Pipeline) -> None:
    photo = make_photo(1)
    pipeline.work()
    services.patch_entity(photo.pk, {"is_deleted": True})
    pipeline.work()
    begin(pipeline)
    assert NEW not in get_clip_store().models()
    services.patch_entity(photo.pk, {"is_deleted": False})
    pipeline.work()
    pipeline.processing.sweeper.sweep_images()
    pipeline.work()
    assert ids(NEW) == {photo.pk}


class Other:
    """The fake's models under another configuration: none of the names is the same."""

    def __init__(self, models: Any) -> None:
        self._models = models
        self.failures = models.failures
        self.detect_faces, self.embed = models.detect_faces, models.embed
        self.embed_text = models.embed_text

    def capabilities(self) -> Capabilities:
        info = ModelInfo("other-clip", dimension=512)
        return Capabilities({**self._models.capabilities().models, CLIP: info}, "Others.")


def test_a_model_that_compute_no_longer_offers_is_replaced_when_its_successor_is_whole(
    pipeline: Pipeline,
) -> None:
    made = photos(pipeline)
    pipeline.client._source = FixedModels(Other(pipeline.client._source.now()))
    late = make_photo(9)
    pipeline.work()
    assert (get_clip_store().current_model(), ids()) == (OLD, made)
    assert ids("other-clip") == {late.pk}
    pipeline.processing.audit.sweep()
    assert get_clip_store().current_model() == OLD  # it still answers for more
    pipeline.processing.sweeper.sweep_images()
    pipeline.work()
    pipeline.processing.audit.sweep()
    assert (get_clip_store().current_model(), ids()) == ("other-clip", {*made, late.pk})


def test_a_store_that_is_older_than_the_rows_keeps_its_model(pipeline: Pipeline) -> None:
    made = photos(pipeline)
    ModelVersion.objects.all().delete()
    assert get_clip_store().current_model() == OLD
    pipeline.processing.jobs.models.wanted()
    assert version(OLD).state == State.CURRENT
    assert model_versions.progress(version(OLD)).done == len(made)
    assert get_dino_store().current_model() == "fake-dino-384"
