"""Another model is switched to, and back; vectors of two are never compared."""

from __future__ import annotations

import numpy as np
import pytest

from intelligence import model_versions
from intelligence.model_versions import State, VersionError
from intelligence.models import EntityJob, ModelVersion, ModelVersionEvent
from intelligence.vocabulary import JobStatus, ProcessingStatus
from tests.factories import make_photo
from tests.intelligence.model_versions.versions import (
    CLIP,
    NEW,
    OLD,
    begin,
    ids,
    photos,
)
from tests.intelligence.pipeline import Pipeline, row_of
from vectors import (
    ModelMismatchError,
    VectorKind,
    get_clip_store,
)

pytestmark = pytest.mark.django_db(transaction=True)


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
