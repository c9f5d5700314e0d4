"""What is said of an entity, how long it is kept, and that every change of it is told."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.db import transaction
from django.db.models import F
from django.utils import timezone
from pytest_django import Settings

from entities import services
from entities.models import Entity, ServiceConfig
from entities.storage import EntityStorageService
from intelligence import announce, faces, rows, statuses, worker_status
from intelligence.models import EntityJob, Face, ImageIntelligence
from intelligence.statuses import KEPT, MARGIN, WORKER, Clearing, State
from intelligence.vocabulary import JobStatus, ProcessingStatus, TaskType
from tests.factories import jpeg, make_collection, make_face, make_intelligence, make_job, make_photo, store
from tests.intelligence.pipeline import Pipeline
from vectors import get_face_store

pytestmark = pytest.mark.django_db(transaction=True)


@dataclass
class Notebook:
    """An announcer that only notes, at once."""

    told: dict[int, State] = field(default_factory=dict)
    """What was read of each entity when it was told last."""
    items: list[tuple[int, str]] = field(default_factory=list)
    words: list[str] = field(default_factory=list)

    def item(self, entity_id: int, md5: str, timestamp: int) -> None:
        self.items.append((entity_id, md5))

    def entities(self, entity_ids: Iterable[int]) -> None:
        self.told |= statuses.read(list(entity_ids))

    def worker(self) -> None:
        self.words.append(worker_status.read().status)

    def clear_ended(self) -> None:
        pass

    @contextmanager
    def every_change_is_told(self, *entity_ids: int) -> Iterator[None]:
        before = statuses.read(entity_ids)
        self.told.clear()
        yield
        after = statuses.read(entity_ids)
        changed = {pk for pk in entity_ids if before[pk] != after[pk]}
        assert changed, "this step is meant to change something"
        assert {pk: self.told.get(pk, before[pk]) for pk in entity_ids} == after


@pytest.fixture
def notebook(settings: Settings) -> Iterator[Notebook]:
    settings.MQTT_BROKER = "a broker"
    announce._collected.entity_ids.clear()  # of a test that was rolled back
    notebook = Notebook()
    announce.install(notebook)
    yield notebook
    announce.install(None)


def replace(photo: Entity, content: bytes) -> None:
    storage = EntityStorageService.from_settings()
    with storage.receive([content]) as incoming:
        services.replace_entity(
            photo.pk, is_collection=False, label="new", storage=storage, incoming=incoming
        )


def trash(entity: Entity) -> None:
    services.patch_entity(entity.pk, {"is_deleted": True})


def remove(entity: Entity) -> None:
    trash(entity)
    services.remove_entity(entity.pk, storage=EntityStorageService.from_settings())


def let_pass(seconds: float) -> None:
    """Everything that was written down was written down so much earlier."""
    earlier = timedelta(seconds=seconds)
    ImageIntelligence.objects.update(updated_at=F("updated_at") - earlier)
    for marks in ServiceConfig.objects.filter(key=statuses.MARKS_KEY):
        for status in statuses.ENDED:
            at, pk = marks.value[status]
            marks.value[status] = [(datetime.fromisoformat(at) - earlier).isoformat(), pk]
        marks.save()


def let_leases_end() -> None:
    EntityJob.objects.update(not_before=None)


# --- What is said ---


def test_it_works() -> None:
    photo = make_photo(1)
    make_intelligence(
        photo, processing_status=ProcessingStatus.PROCESSING, clip_status=JobStatus.IN_PROGRESS, face_count=2
    )
    for status in (JobStatus.COMPLETED, JobStatus.QUEUED):
        make_job(photo, TaskType.FACE_EMBEDDING, status, face=make_face(photo))

    assert statuses.read([photo.pk])[photo.pk] == {
        "entity_id": photo.pk,
        "status": "processing",
        "face_detection": "completed",
        "face_count": 2,
        "clip_embedding": "processing",
        "dino_embedding": "completed",
        "face_embeddings": ["completed", "processing"],
    }


def test_nothing_is_said_of_what_is_not_there_or_not_known() -> None:
    unknown, trashed, replaced = make_photo(1), make_photo(2), make_photo(3)
    for photo in (trashed, replaced):
        make_intelligence(photo)
    trash(trashed)
    replace(replaced, jpeg(4))
    assert statuses.read([unknown.pk, trashed.pk, replaced.pk, 12345]) == {
        unknown.pk: None,
        trashed.pk: None,
        replaced.pk: None,
        12345: None,
    }


@pytest.mark.parametrize("status", [ProcessingStatus.COMPLETED, ProcessingStatus.FAILED])
def test_an_end_is_told_for_a_minute(status: ProcessingStatus) -> None:
    photo = make_photo(1)
    make_intelligence(photo, processing_status=status)
    let_pass(55)
    said = statuses.read([photo.pk])[photo.pk]
    assert said is not None
    assert said["status"] == status
    let_pass(5)
    assert statuses.read([photo.pk]) == {photo.pk: None}


def test_what_goes_on_is_told_however_long_it_takes() -> None:
    photo = make_photo(1)
    make_intelligence(photo, processing_status=ProcessingStatus.PROCESSING)
    let_pass(100_000)
    assert statuses.read([photo.pk])[photo.pk] is not None


def test_many_are_read_with_few_queries(django_assert_max_num_queries: Any) -> None:
    photos = [make_photo(seed) for seed in range(5)]
    for photo in photos:
        make_intelligence(photo, processing_status=ProcessingStatus.PROCESSING)
    with django_assert_max_num_queries(3):
        statuses.read([WORKER, *(photo.pk for photo in photos)])


# --- That it is told ---


def test_every_step_of_the_pipeline_is_told(notebook: Notebook, pipeline: Pipeline) -> None:
    photo = make_photo(1)
    with notebook.every_change_is_told(photo.pk):
        pipeline.reconcile()
    with notebook.every_change_is_told(photo.pk):
        pipeline.processing.jobs._claim()
    let_leases_end()
    with notebook.every_change_is_told(photo.pk):
        pipeline.dispatch_faces_apart()
    for job_id in pipeline.run():
        with notebook.every_change_is_told(photo.pk):
            pipeline.finish([job_id])
    ended = pipeline.run()
    assert len(ended) == 2
    for job_id in ended:
        with notebook.every_change_is_told(photo.pk):
            pipeline.finish([job_id])
    assert statuses.read([photo.pk])[photo.pk]["status"] == "completed"  # type: ignore[index]


def test_what_comes_later_is_told(notebook: Notebook, pipeline: Pipeline) -> None:
    photo = make_photo(1)
    pipeline.work()
    face = Face.objects.first()
    assert face is not None
    with notebook.every_change_is_told(photo.pk):
        faces.remove(
            face_id=face.pk, storage=EntityStorageService.from_settings(), store=get_face_store(), by=None
        )
    with notebook.every_change_is_told(photo.pk):
        rows.make_pending([photo.pk], TaskType.DINO_EMBEDDING)
    pipeline.work()
    with notebook.every_change_is_told(photo.pk):
        replace(photo, jpeg(2))
    with notebook.every_change_is_told(photo.pk):
        pipeline.reconcile()
    with notebook.every_change_is_told(photo.pk):
        pipeline.dispatch()
    job = EntityJob.objects.live().filter(task_type=TaskType.CLIP_EMBEDDING).get()
    with notebook.every_change_is_told(photo.pk):
        rows.fail_job(job, "a reason")
    with notebook.every_change_is_told(photo.pk):
        remove(photo)


def test_a_row_that_a_sweep_mends_is_told_of(notebook: Notebook, pipeline: Pipeline) -> None:
    photo = make_photo(1)
    pipeline.reconcile()
    pipeline.dispatch()
    ImageIntelligence.objects.update(clip_status=JobStatus.COMPLETED)
    with notebook.every_change_is_told(photo.pk):
        rows.mirror_jobs(photo.pk)
    pipeline.work()
    ImageIntelligence.objects.update(processing_status=ProcessingStatus.PROCESSING)
    with notebook.every_change_is_told(photo.pk):
        rows.settle(photo.pk)


def test_a_photo_in_the_trash_is_told_of(notebook: Notebook, pipeline: Pipeline) -> None:
    photo = make_photo(1)
    pipeline.work()
    trash(photo)
    notebook.told.clear()
    pipeline.reconcile()
    assert photo.pk in notebook.told


def test_items_are_what_comes_in(notebook: Notebook) -> None:
    """A new file, or one in place of another; no duplicate, no collection, no other change, no removal."""
    photo = make_photo(1)
    first = (photo.pk, photo.md5)
    assert notebook.items == [first]
    assert not store(jpeg(1)).created
    make_collection()
    services.patch_entity(photo.pk, {"label": "other"})
    trash(photo)
    assert not store(jpeg(1)).created  # out of the trash
    services.replace_entity(
        photo.pk, is_collection=False, label="same", storage=EntityStorageService.from_settings()
    )
    assert notebook.items == [first]
    replace(photo, jpeg(2))
    photo.refresh_from_db()
    assert notebook.items == [first, (photo.pk, photo.md5)]
    replace(photo, jpeg(2))
    remove(photo)
    assert notebook.items == [first, (photo.pk, photo.md5), (photo.pk, photo.md5)]


def test_a_duplicate_takes_no_status_back(notebook: Notebook) -> None:
    make_photo(1)
    notebook.told.clear()
    store(jpeg(1))
    assert notebook.told == {}


def test_nothing_is_told_of_what_was_rolled_back(notebook: Notebook) -> None:
    with pytest.raises(RuntimeError), transaction_that_fails():
        make_photo(1)
    assert notebook.items == []
    assert notebook.told == {}


@contextmanager
def transaction_that_fails() -> Iterator[None]:
    with transaction.atomic():
        yield
        raise RuntimeError


def test_nothing_is_noted_without_a_broker(notebook: Notebook, settings: Settings) -> None:
    settings.MQTT_BROKER = ""
    remove(make_photo(1))
    assert notebook.items == []
    assert notebook.told == {}


def test_a_pass_is_told_only_if_there_is_something_to_read(notebook: Notebook, pipeline: Pipeline) -> None:
    worker_status.worker_started()
    assert notebook.words == ["idle"]
    pipeline.reconcile()
    assert notebook.words == ["idle"]
    version = make_photo(1).history.latest().history_id
    pipeline.reconcile()
    assert notebook.words == ["idle", "running", "idle"]
    said = worker_status.read()
    assert (said.version_start, said.version_end, said.processed_count) == (0, version, 1)


def test_a_heartbeat_repeats_the_word() -> None:
    worker_status.pass_ended(3, 9, 4)
    worker_status.beat()
    said = worker_status.read()
    assert (said.status, said.version_end, said.processed_count) == ("idle", 9, 4)
    worker_status.worker_stopped()  # another one
    worker_status.beat()
    assert worker_status.read().status == "idle"


# --- What the broker may still keep ---


def clear(clearing: Clearing) -> list[int]:
    """One round, confirmed by the broker."""
    cleared = []
    while True:
        batch = clearing.next_batch()
        cleared += batch.entity_ids
        clearing.keep(batch.marks)
        if batch.is_last:
            return cleared


def test_statuses_are_taken_back_once_when_their_time_is_over() -> None:
    clearing = Clearing()
    clearing.prepare()
    done, failed, under_way = make_photo(1), make_photo(2), make_photo(3)
    make_intelligence(done)
    make_intelligence(failed, processing_status=ProcessingStatus.FAILED)
    make_intelligence(under_way, processing_status=ProcessingStatus.PROCESSING)
    assert clear(clearing) == []
    let_pass((KEPT + MARGIN).total_seconds() - 20)
    assert clear(clearing) == []
    let_pass(20)
    assert sorted(clear(clearing)) == [done.pk, failed.pk]
    assert clear(clearing) == []


def test_what_was_not_confirmed_is_taken_back_again() -> None:
    Clearing().prepare()
    photo = make_photo(1)
    make_intelligence(photo)
    let_pass(65)
    assert Clearing().next_batch().entity_ids == [photo.pk]  # and the process dies
    assert clear(Clearing()) == [photo.pk]


def test_many_are_taken_back_in_batches() -> None:
    clearing = Clearing(batch_size=3)
    clearing.prepare()
    photos = [make_photo(seed) for seed in range(10)]
    for photo in photos:
        make_intelligence(photo)
    ImageIntelligence.objects.update(updated_at=timezone.now())  # at the same moment
    let_pass(65)
    first = clearing.next_batch()
    assert first.entity_ids == [photo.pk for photo in photos[:3]]
    assert not first.is_last
    assert clear(clearing) == [photo.pk for photo in photos]


def test_another_worker_never_moves_a_mark_back() -> None:
    clearing = Clearing()
    clearing.prepare()
    photo = make_photo(1)
    make_intelligence(photo)
    let_pass(65)
    late = ServiceConfig.objects.get(key=statuses.MARKS_KEY).value
    assert clear(clearing) == [photo.pk]
    clearing.keep(late)
    assert clear(clearing) == []


def test_statuses_of_what_is_gone_are_taken_back(pipeline: Pipeline) -> None:
    clearing = Clearing()
    clearing.prepare()
    stays, trashed, removed = make_photo(1), make_photo(2), make_photo(3)
    pipeline.reconcile()
    assert clear(clearing) == []
    trash(trashed)
    remove(removed)
    assert clear(clearing) == []  # an earlier version may still come: reconciliation knows when none can
    pipeline.catch_up()
    assert sorted(clear(clearing)) == [trashed.pk, removed.pk]
    assert clear(clearing) == []
    assert statuses.read([stays.pk])[stays.pk] is not None


def test_what_a_worker_that_died_has_told_to_nobody_is_told_again() -> None:
    old, ended, under_way = make_photo(1), make_photo(2), make_photo(3)
    make_intelligence(old)
    let_pass(65)
    make_intelligence(ended)
    make_intelligence(under_way, processing_status=ProcessingStatus.PROCESSING)
    assert statuses.changed_lately(10) == [under_way.pk, ended.pk]
    assert statuses.changed_lately(1) == [under_way.pk]
