"""What a person with a browser finds: pages of the API, and an admin that shows every model."""

from __future__ import annotations

import pytest
from django.apps import apps
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse

from tests.factories import make_collection, make_face, make_photo

pytestmark = pytest.mark.django_db
OWN_MODELS = [
    model
    for app in ("entities", "intelligence")
    for model in apps.get_app_config(app).get_models()
    if not model.__name__.startswith("Historical") and model._meta.managed  # triggers keep the others
]


@pytest.fixture
def browser() -> Client:
    User.objects.create_superuser("someone", "someone@example.org", "a password of theirs")
    client = Client(headers={"accept": "text/html"})
    client.login(username="someone", password="a password of theirs")
    return client


@pytest.mark.parametrize(
    "path",
    [
        "/entities",
        "/entities/{id}",
        "/intelligence/entities/{id}/faces",
        "/intelligence/entities/{id}/jobs",
        "/intelligence/known-persons",
        "/users/me",
        "/admin/pref",
    ],
)
def test_pages_of_the_api(browser: Client, path: str) -> None:
    make_collection()
    photo = make_photo(1)
    make_face(photo)

    page = browser.get(path.format(id=photo.pk))

    assert page.status_code == 200
    assert page["Content-Type"].startswith("text/html")
    assert b"Log out" in page.content


@pytest.mark.parametrize("model", OWN_MODELS, ids=lambda model: model.__name__)
def test_the_admin_lists_every_model(browser: Client, model: type) -> None:
    make_face(make_photo(1))
    name = f"{model._meta.app_label}_{model._meta.model_name}"  # type: ignore[attr-defined]

    page = browser.get(reverse(f"admin:{name}_changelist"))

    assert page.status_code == 200


def test_thumbnails_stand_beside_pictures(browser: Client) -> None:
    photo = make_photo(1)
    face = make_face(photo)

    entities = browser.get(reverse("admin:entities_entity_changelist")).content.decode()
    faces = browser.get(reverse("admin:intelligence_face_changelist")).content.decode()

    assert f'<img src="/entities/{photo.pk}/preview?' in entities
    assert f'<img src="/intelligence/faces/{face.pk}/crop' in faces
