"""Two workers, or a worker and a user, at the same people at once: it ends as one order or the other."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress

import pytest
from django.db import connection, connections, transaction

from entities import locks, services
from entities.storage import EntityStorageService
from intelligence import people, rows
from intelligence.models import Face, FaceDecision, KnownPerson, PeopleOperation
from intelligence.people.journal import LOCK
from intelligence.recognition.recluster import ReclusterError
from intelligence.vocabulary import TaskType
from tests.factories import make_photo
from tests.intelligence.pipeline import Pipeline
from tests.intelligence.recognition.crowd import Crowd, person_of

pytestmark = pytest.mark.django_db(transaction=True)

ROUNDS = 4


def at_once(*steps: Callable[[], object]) -> None:
    """Each in a thread and with a connection of its own; an error in one fails the test."""
    start = threading.Barrier(len(steps))
    errors: list[BaseException] = []

    def run(step: Callable[[], object]) -> None:
        try:
            start.wait()
            step()
        except BaseException as error:  # noqa: BLE001  (told by the test's own thread)
            errors.append(error)
        finally:
            connections.close_all()

    threads = [threading.Thread(target=run, args=(step,)) for step in steps]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not any(thread.is_alive() for thread in threads), "they wait for each other"
    if errors:
        raise errors[0]


def assert_sound() -> None:
    for face in Face.objects.all():
        assert (face.known_person_id is None) == (face.assigned_by is None)
    for decision in FaceDecision.objects.filter(verdict="is").select_related("face"):
        assert decision.face is None or decision.face.known_person_id == decision.person_id


@pytest.mark.parametrize("number", range(ROUNDS))
def test_two_photos_of_somebody_new_make_one_person(crowd: Crowd, number: int) -> None:
    faces = [crowd.face("Ada"), crowd.face("Ada")]
    at_once(crowd.recognise, crowd.recognise)
    assert len({person_of(face) for face in faces}) == KnownPerson.objects.count() == 1


def test_who_recognises_waits_for_who_is_at_it(crowd: Crowd) -> None:
    """Not by luck: the second one is held up until the first one has committed."""
    if connection.vendor != "postgresql":
        pytest.skip("SQLite has one writer")
    crowd.face("Ada")
    begun, looked = threading.Event(), threading.Event()

    def hold() -> None:
        with transaction.atomic():
            locks.hold(LOCK)
            begun.set()
            assert not looked.wait(0.5)

    def recognise() -> None:
        begun.wait()
        crowd.recognise()
        looked.set()

    at_once(hold, recognise)
    assert looked.is_set()


@pytest.mark.parametrize("number", range(ROUNDS))
def test_a_merge_against_recognition(crowd: Crowd, number: int) -> None:
    for who in ("Ada", "Bob"):
        for _ in range(3):
            crowd.face(who)
    crowd.recognise()
    ada, bob = KnownPerson.objects.order_by("pk")
    fresh = [crowd.face(who) for who in ("Ada", "Bob", "Bob")]

    at_once(crowd.recognise, lambda: people.merge(survivor_id=ada.pk, other_ids=[bob.pk], by="me"))
    crowd.recognise()

    assert list(KnownPerson.objects.all()) == [ada]
    assert {person_of(face) for face in fresh} == {ada.pk}
    assert_sound()


@pytest.mark.parametrize("number", range(ROUNDS))
def test_an_undo_against_recognition(crowd: Crowd, number: int) -> None:
    faces = [crowd.face("Ada") for _ in range(4)]
    crowd.recognise()
    ada = KnownPerson.objects.get()
    split = people.split(person_id=ada.pk, face_ids=[face.pk for face in faces[:2]], by="me")
    fresh = crowd.face("Ada")

    at_once(crowd.recognise, lambda: people.undo(operation_id=split.pk, by="me"))
    crowd.recognise()

    assert list(KnownPerson.objects.all()) == [ada]
    assert {person_of(face) for face in (*faces, fresh)} == {ada.pk}
    assert_sound()


@pytest.mark.parametrize("number", range(ROUNDS))
def test_a_recluster_against_what_comes_in(crowd: Crowd, number: int) -> None:
    for _ in range(4):
        crowd.face("Ada")
    crowd.recognise()
    ada = KnownPerson.objects.get()
    twice = KnownPerson.objects.create()
    Face.objects.filter(pk=Face.objects.latest("pk").pk).update(known_person=twice)
    fresh = crowd.face("Ada")

    def settle() -> None:
        with suppress(ReclusterError):  # overtaken each time: then nothing was done
            crowd.processing.recluster.run()

    at_once(settle, crowd.recognise)
    crowd.recognise()
    crowd.processing.recluster.run()

    assert set(Face.objects.values_list("known_person", flat=True)) == {ada.pk}
    assert person_of(fresh) == ada.pk
    assert_sound()


@pytest.mark.parametrize("number", range(ROUNDS))
def test_another_detection_against_recognition_and_a_merge(
    crowd: Crowd, pipeline: Pipeline, number: int
) -> None:
    photo = make_photo(1)
    pipeline.work()
    crowd.recognise()
    left, right = Face.objects.order_by("pk")
    ada, twin = person_of(left), person_of(right)
    assert ada is not None
    assert twin is not None
    people.confirm(face_ids=[left.pk], by="me")
    rows.make_pending([photo.pk], TaskType.FACE_DETECTION)
    pipeline.dispatch()
    ended = pipeline.run()
    Face.objects.update(recognised_with=None)

    at_once(
        lambda: pipeline.finish(ended),
        crowd.recognise,
        lambda: people.merge(survivor_id=ada, other_ids=[twin], by="me"),
    )
    pipeline.work()
    crowd.recognise()

    new_left, _ = sorted(Face.objects.all(), key=lambda face: face.bbox["x1"])
    assert new_left.pk not in (left.pk, right.pk)
    assert (new_left.known_person_id, new_left.assigned_by) == (ada, "user")
    assert FaceDecision.objects.get().face_id == new_left.pk
    assert_sound()


@pytest.mark.parametrize("number", range(ROUNDS))
def test_a_removal_against_a_merge(crowd: Crowd, number: int) -> None:
    for who in ("Ada", "Bob"):
        for _ in range(3):
            crowd.face(who)
    crowd.recognise()
    ada, bob = KnownPerson.objects.order_by("pk")
    gone = Face.objects.filter(known_person=bob)[0].entity_id
    services.patch_entity(gone, changes={"is_deleted": True})
    storage = EntityStorageService.from_settings()

    at_once(
        lambda: services.remove_entity(gone, storage=storage),
        lambda: people.merge(survivor_id=ada.pk, other_ids=[bob.pk], by="me"),
    )

    assert list(KnownPerson.objects.all()) == [ada]
    assert Face.objects.filter(known_person=ada).count() == Face.objects.count() == 5
    people.undo(operation_id=PeopleOperation.objects.get().pk, by="me")
    assert Face.objects.filter(known_person=bob).count() == 2
    assert_sound()
