"""What goes with a model; and the rest of the store takes notice of both."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from entities import services
from intelligence import model_versions
from intelligence.compute.base import Capabilities, ModelInfo
from intelligence.compute.image_models import FixedModels
from intelligence.model_versions import State, VersionError
from intelligence.models import EntityJob, ModelVersion
from intelligence.vocabulary import JobStatus
from tests.factories import make_photo
from tests.intelligence.model_versions.versions import (
    CLIP,
    NEW,
    OLD,
    begin,
    ids,
    photos,
    version,
)
from tests.intelligence.pipeline import Pipeline, row_of
from vectors import (
    VectorPoint,
    get_clip_store,
    get_dino_store,
)

pytestmark = pytest.mark.django_db(transaction=True)


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
