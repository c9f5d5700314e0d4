from __future__ import annotations

from collections.abc import Callable
from contextlib import closing

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from entities.guest_mode import set_guest_mode
from entities.models import Entity
from intelligence.models import EntityJob, Face, FaceDecision, FaceMatch, KnownPerson, PersonDistinction
from intelligence.vocabulary import JobStatus, TaskType
from tests.factories import make_face, make_intelligence, make_job, make_person, make_photo

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("media_root")]

MODELS = [
    "imageintelligence",
    "entityjob",
    "face",
    "knownperson",
    "facematch",
    "facedecision",
    "persondistinction",
    "entitysyncstate",
]


def make_everything(seed: int) -> Entity:
    photo = make_photo(seed)
    make_intelligence(photo, face_count=2)
    one, two = make_person(f"person {seed}"), make_person()
    first, second = make_face(photo, known_person=one), make_face(photo, known_person=two)
    KnownPerson.objects.filter(pk=one.pk).update(cover_face=first)
    KnownPerson.objects.filter(pk=two.pk).update(cover_face=second)
    make_job(photo, TaskType.CLIP_EMBEDDING, JobStatus.FAILED, error_message="<b>out of memory</b>")
    make_job(photo, TaskType.FACE_EMBEDDING, JobStatus.QUEUED, face=first)
    FaceMatch.objects.create(face=first, matched_face=second, similarity=0.9, threshold=0.7, rule="x")
    FaceDecision.objects.create(
        entity=photo, face=first, bbox={}, person=one, verdict=FaceDecision.Verdict.IS
    )
    PersonDistinction.objects.create(person=one, other=two)
    return photo


def path_of(model: str, page: str = "changelist", *arguments: object) -> str:
    return reverse(f"admin:intelligence_{model}_{page}", args=arguments)


@pytest.fixture
def queries(admin_client: Client) -> Callable[[str], int]:
    def count(path: str) -> int:
        admin_client.get(path)  # fills what Django caches for the whole process
        with CaptureQueriesContext(connection) as captured:
            assert admin_client.get(path).status_code == 200
        return len(captured)

    return count


@pytest.mark.parametrize("model", MODELS)
def test_a_list_does_the_queries_of_one_row(queries: Callable[[str], int], model: str) -> None:
    make_everything(0)
    few = queries(path_of(model))
    for seed in range(1, 8):
        make_everything(seed)
    assert queries(path_of(model)) == few


def test_an_image_shows_its_picture_its_faces_and_its_jobs(admin_client: Client) -> None:
    photo, other = make_everything(0), make_everything(1)
    page = admin_client.get(path_of("imageintelligence", "change", photo.pk)).content.decode()
    assert f"/entities/{photo.pk}/preview" in page
    for face in Face.objects.all():
        crop = reverse("face-crop", args=[face.pk])
        assert (crop in page) == (face.entity_id == photo.pk)
        with closing(admin_client.get(crop)) as picture:
            assert picture["Content-Type"] == "image/png"
    for job in EntityJob.objects.all():
        assert (path_of("entityjob", "change", job.pk) in page) == (job.entity_id != other.pk)
    assert "&lt;b&gt;out of memory&lt;/b&gt;" in page
    assert 'name="_save"' not in page


def test_the_page_of_an_image_does_the_queries_of_one_job(queries: Callable[[str], int]) -> None:
    photo = make_everything(0)
    few = queries(path_of("imageintelligence", "change", photo.pk))
    for _ in range(10):
        make_job(photo, TaskType.FACE_EMBEDDING, JobStatus.COMPLETED, face=make_face(photo))
    assert queries(path_of("imageintelligence", "change", photo.pk)) == few


@pytest.mark.parametrize("model", ["imageintelligence", "entityjob", "face"])
def test_rows_are_found_by_their_entity(admin_client: Client, model: str) -> None:
    photo, other = make_everything(0), make_everything(1)

    def found(term: int | str) -> set[int]:
        page = admin_client.get(path_of(model), {"q": term})
        assert page.status_code == 200
        return {row.entity_id for row in page.context["cl"].result_list}

    assert found(photo.pk) == {photo.pk}
    assert found("") == {photo.pk, other.pk}
    assert found("x") == found(4711) == found(2**64) == set()


def test_the_pictures_of_faces_are_not_for_everybody(client: Client, admin_client: Client) -> None:
    face = make_face(make_photo())
    set_guest_mode(is_on=False, by=None)
    crop = reverse("face-crop", args=[face.pk])
    assert client.get(crop).status_code == 401
    with closing(admin_client.get(crop)) as picture:
        assert picture.status_code == 200


# --- People ---


def test_people_are_neither_added_nor_removed_here(admin_client: Client) -> None:
    person = make_person("Ada")
    assert admin_client.get(path_of("knownperson", "add")).status_code == 403
    assert admin_client.post(path_of("knownperson", "delete", person.pk), {"post": "yes"}).status_code == 403
    listed = admin_client.post(
        path_of("knownperson"), {"action": "delete_selected", "_selected_action": person.pk, "post": "yes"}
    )
    assert listed.status_code in {200, 302}
    assert KnownPerson.objects.get() == person


def test_a_person_is_named_hidden_and_given_a_cover(admin_client: Client, admin_user: User) -> None:
    person = make_person()
    face = make_face(make_photo(), known_person=person)
    page = admin_client.get(path_of("knownperson", "change", person.pk)).content.decode()
    assert reverse("face-crop", args=[face.pk]) in page

    form = {"name": "Ada", "hidden": "on", "cover_face": face.pk}
    answer = admin_client.post(path_of("knownperson", "change", person.pk), form)

    assert answer.status_code == 302
    person.refresh_from_db()
    assert (person.name, person.hidden, person.cover_face) == ("Ada", True, face)
    newest = person.history.latest()
    assert (newest.name, newest.history_user_id) == ("Ada", str(admin_user.pk))
    history = admin_client.get(path_of("knownperson", "history", person.pk))
    assert history.status_code == 200
    first = admin_client.get(
        path_of("knownperson", "simple_history", person.pk, person.history.earliest().pk)
    )
    assert first.status_code == 200


def test_a_name_can_be_taken_away(admin_client: Client) -> None:
    person = make_person("Ada")
    admin_client.post(path_of("knownperson", "change", person.pk), {"name": "", "cover_face": ""})
    person.refresh_from_db()
    assert person.name is None


def test_the_face_of_another_is_no_cover(admin_client: Client) -> None:
    person = make_person("Ada")
    face = make_face(make_photo(), known_person=make_person("Bob"))
    answer = admin_client.post(
        path_of("knownperson", "change", person.pk), {"name": "Ada", "cover_face": face.pk}
    )
    assert answer.status_code == 200
    assert "is not one of this person" in answer.content.decode()
    person.refresh_from_db()
    assert person.cover_face is None


def test_the_list_counts_the_faces(admin_client: Client) -> None:
    person = make_person("Ada")
    photo = make_photo()
    for _ in range(3):
        make_face(photo, known_person=person)
    make_person()
    rows = admin_client.get(path_of("knownperson"), {"o": "-4"}).context["cl"].result_list
    assert [(row.name, row.face_count) for row in rows] == [("Ada", 3), (None, 0)]
