from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import Permission, User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from entities.guest_mode import set_guest_mode
from entities.models import Entity
from intelligence import admin, capabilities, pauses, setbacks
from intelligence.models import (
    EntityJob,
    Face,
    FaceDecision,
    FaceMatch,
    ImageIntelligence,
    KnownPerson,
    PersonDistinction,
)
from intelligence.vocabulary import JobStatus, ProcessingStatus, TaskType
from tests.factories import make_face, make_intelligence, make_job, make_person, make_photo

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("media_root")]

MODELS = [
    "imageintelligence",
    "entityjob",
    "face",
    "facematch",
    "facedecision",
    "persondistinction",
    "entitysyncstate",
    "taskpause",
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
        picture: Any = admin_client.get(crop)
        assert picture["Content-Type"] == "image/png"
        assert picture.getvalue().startswith(b"\x89PNG")
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


# --- Steering ---


def act(client: Client, action: str, *jobs: EntityJob) -> None:
    chosen = {"action": action, "_selected_action": [job.pk for job in jobs]}
    assert client.post(path_of("entityjob"), chosen).status_code == 302


def test_retry_asks_again_for_what_has_failed(admin_client: Client) -> None:
    photo, other = make_photo(0), make_photo(1)
    make_intelligence(photo, clip_status=JobStatus.FAILED, processing_status=ProcessingStatus.FAILED)
    make_intelligence(other, clip_status=JobStatus.FAILED, processing_status=ProcessingStatus.FAILED)
    job = make_job(photo, TaskType.CLIP_EMBEDDING, JobStatus.FAILED)
    make_job(other, TaskType.CLIP_EMBEDDING, JobStatus.FAILED)

    act(admin_client, "retry", job)

    assert ImageIntelligence.objects.get(pk=photo.pk).clip_status == JobStatus.PENDING
    assert ImageIntelligence.objects.get(pk=other.pk).clip_status == JobStatus.FAILED


def test_retry_ends_the_wait_for_another_attempt(admin_client: Client) -> None:
    later = timezone.now() + timedelta(hours=1)
    job = make_job(
        make_photo(), TaskType.CLIP_EMBEDDING, JobStatus.PENDING, not_before=later, error_message="away"
    )
    act(admin_client, "retry", job)
    job.refresh_from_db()
    assert job.not_before is None


def test_discard_gives_up_what_has_not_ended(admin_client: Client, admin_user: User) -> None:
    photo = make_photo()
    make_intelligence(photo, clip_status=JobStatus.QUEUED, processing_status=ProcessingStatus.PROCESSING)
    live = make_job(photo, TaskType.CLIP_EMBEDDING, JobStatus.QUEUED)
    ended = make_job(photo, TaskType.DINO_EMBEDDING, JobStatus.COMPLETED)

    act(admin_client, "discard", live, ended)

    live.refresh_from_db()
    ended.refresh_from_db()
    said = f"Discarded by {admin_user.get_username()}."
    assert (live.status, live.error_message) == (JobStatus.FAILED, said)
    assert ended.status == JobStatus.COMPLETED
    assert ImageIntelligence.objects.get().processing_status == ProcessingStatus.FAILED


def test_who_may_only_look_may_not_steer(client: Client) -> None:
    looker = User.objects.create_user("looker", is_staff=True)
    looker.user_permissions.add(Permission.objects.get(codename="view_entityjob"))
    client.force_login(looker)
    job = make_job(make_photo(), TaskType.CLIP_EMBEDDING, JobStatus.QUEUED)
    assert client.get(path_of("entityjob")).status_code == 200
    client.post(path_of("entityjob"), {"action": "discard", "_selected_action": job.pk})
    job.refresh_from_db()
    assert job.status == JobStatus.QUEUED
    assert client.get(reverse("admin:intelligence_figures")).status_code == 403


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        ("storing", setbacks.in_words(OSError(28, "full"))),
        ("service", "The compute service did not answer."),
        ("discarded", "Discarded by Ada."),
        ("other", "nobody has seen this before"),
    ],
)
def test_failures_are_listed_by_their_kind(admin_client: Client, kind: str, reason: str) -> None:
    photo = make_photo()
    failed = make_job(photo, TaskType.CLIP_EMBEDDING, JobStatus.FAILED, error_message=reason)
    make_job(photo, TaskType.DINO_EMBEDDING, JobStatus.FAILED, error_message="The image is damaged.")
    make_job(photo, TaskType.CLIP_EMBEDDING, JobStatus.PENDING, error_message=reason)
    page = admin_client.get(path_of("entityjob"), {"failure": kind})
    assert list(page.context["cl"].result_list) == [failed]


def test_an_unknown_kind_of_failure_is_no_filter(admin_client: Client) -> None:
    make_job(make_photo(), TaskType.CLIP_EMBEDDING, JobStatus.FAILED)
    assert admin_client.get(path_of("entityjob"), {"failure": "x"}).status_code == 200


def test_a_list_counts_no_further_than_it_must(admin_client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(admin, "COUNTED", 2)
    photo = make_photo()
    for _ in range(4):
        make_job(photo, TaskType.CLIP_EMBEDDING, JobStatus.FAILED)
    assert admin_client.get(path_of("entityjob")).context["cl"].result_count == 2


def test_the_figures_have_a_page(admin_client: Client) -> None:
    make_everything(0)
    pauses.pause(TaskType.DINO_EMBEDDING, by="Ada")
    capabilities.tell({}, "Finds faces (yunet), recognises nobody.")
    where = reverse("admin:intelligence_figures")
    assert where in admin_client.get(path_of("imageintelligence")).content.decode()
    page = admin_client.get(where).content.decode()
    assert "1 completed" in page
    assert "by Ada" in page
    assert "Models: Finds faces (yunet), recognises nobody." in page
