"""A further model is filled in the background, and holds nothing up."""

from __future__ import annotations

import numpy as np
import pytest

from intelligence import model_versions, pauses
from intelligence.disagreements import Span
from intelligence.model_versions import VersionError
from intelligence.models import EntityJob, Face
from intelligence.vocabulary import JobStatus
from tests.factories import make_photo
from tests.intelligence.model_versions.versions import (
    CLIP,
    FACE,
    NEW,
    NEW_FACES,
    OLD,
    begin,
    ids,
    photos,
    version,
)
from tests.intelligence.pipeline import Pipeline, row_of
from vectors import (
    get_clip_store,
    get_face_store,
)

pytestmark = pytest.mark.django_db(transaction=True)


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
