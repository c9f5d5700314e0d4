"""What clients of earlier generations ask without the prefix."""

from __future__ import annotations

import pytest
from rest_framework.test import APIClient

from intelligence.vocabulary import JobStatus, TaskType
from tests.factories import make_face, make_intelligence, make_job, make_person, make_photo
from tests.intelligence.likeness import put

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("media_root")]


def test_they_give_the_same_answers(guest: APIClient) -> None:
    photo, other = make_photo(1), make_photo(2)
    make_intelligence(photo)
    make_job(photo, TaskType.CLIP_EMBEDDING, JobStatus.COMPLETED)
    person = make_person("Ada")
    face, alike = (make_face(photo, known_person=person) for _ in range(2))
    put("clip", {photo: 0, other: 1})
    put("face", {face: 0, alike: 1})

    paths = {
        f"/entities/{photo.pk}/faces": "",
        f"/entities/{photo.pk}/jobs": "",
        f"/entities/{photo.pk}/similar": "?include_details=true",
        f"/entities/{photo.pk}/embedding": "",
        f"/faces/{face.pk}/embedding": "",
        f"/faces/{face.pk}/similar": "",
        f"/faces/{face.pk}/matches": "",
        "/known-persons": "",
        f"/known-persons/{person.pk}": "",
        f"/known-persons/{person.pk}/faces": "",
    }
    for path, query in paths.items():
        expected = guest.get(f"/intelligence{path}{query}")
        assert expected.status_code == 200, path
        for spelling in (path, f"{path}/"):
            answer = guest.get(spelling + query)
            assert (answer.status_code, answer.content) == (200, expected.content), spelling


def test_embedding_means_clip(guest: APIClient) -> None:
    photo = make_photo()
    put("clip", {photo: 0})
    put("dino", {photo: 45})
    clip = guest.get(f"/intelligence/entities/{photo.pk}/clip_embedding")
    answer = guest.get(f"/entities/{photo.pk}/embedding")
    assert answer.content == clip.content
    assert answer["Content-Disposition"] == clip["Content-Disposition"]


def test_people_are_named_there_too(writer: APIClient) -> None:
    person = make_person()
    answer = writer.patch(f"/known-persons/{person.pk}", {"name": "Ada"}, format="json")
    assert (answer.status_code, answer.json()["name"]) == (200, "Ada")
