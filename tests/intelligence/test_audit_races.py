"""An audit that mends while somebody writes."""

from __future__ import annotations

import threading

import pytest
from django.db import connection, connections, transaction

from intelligence import model_versions, rows
from intelligence.audit import errands
from intelligence.models import Face
from intelligence.vocabulary import TaskType
from tests.factories import make_photo
from tests.intelligence.pipeline import Pipeline
from vectors import VectorPoint, get_face_store

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif(connection.vendor != "postgresql", reason="SQLite has one writer"),
]


def test_a_vector_whose_face_is_about_to_be_committed_stays(pipeline: Pipeline) -> None:
    photo = make_photo(1)
    pipeline.work()
    face = Face.objects.filter(entity=photo).first()
    assert face is not None
    version = model_versions.kept().get(task_type=TaskType.FACE_EMBEDDING)
    vector = get_face_store().fetch([face.pk])[face.pk]
    mended: list[int] = []

    def mend() -> None:
        try:
            mended.extend(errands.mend(pipeline.processing, {"version": version.pk, "orphans": [face.pk]}))
        finally:
            connections.close_all()

    thread = threading.Thread(target=mend)
    with transaction.atomic():
        rows.lock_entity(photo.pk)
        face.pk = None
        face.save()
        get_face_store().upsert(
            [VectorPoint(face.pk, vector, {"entity_id": photo.pk, "face_id": face.pk})], model=version.model
        )
        thread.start()
        thread.join(0.5)
        assert thread.is_alive()
    thread.join(30)
    assert not thread.is_alive()
    assert mended == []
    assert get_face_store().fetch([face.pk]).keys() == {face.pk}
