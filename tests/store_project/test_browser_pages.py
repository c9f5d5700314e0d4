"""What a person with a browser finds: pages of the API, and an admin that shows every model."""

from __future__ import annotations

import re

import pytest
from django.apps import apps
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse

from entities.guest_mode import KEY, set_guest_mode
from entities.models import ServiceConfig
from tests.factories import make_collection, make_face, make_person, make_photo

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


def test_the_form_of_a_new_entity_uploads(browser: Client) -> None:
    page = browser.get("/entities").content.decode()

    assert _fields(page) >= {"is_collection", "label", "description", "parent_id", "media_file"}
    assert not _fields(page) & {"id", "md5", "children_count"}
    assert 'enctype="multipart/form-data"' in page


def test_the_forms_of_an_entity_show_what_is_there(browser: Client) -> None:
    photo = make_photo(1, label="Harbour")

    page = browser.get(f"/entities/{photo.pk}").content.decode()

    assert {"media_file", "is_deleted"} <= _fields(page)
    assert page.count('value="Harbour"') == 2  # to replace it, and to change it


def test_an_entity_is_linked_with_what_belongs_to_it(browser: Client) -> None:
    collection = make_collection("Holidays")
    photo = make_photo(1, parent_id=collection.pk)

    of_photo = _links(browser.get(f"/entities/{photo.pk}").content.decode())
    of_collection = _links(browser.get(f"/entities/{collection.pk}").content.decode())

    assert {
        f"/entities/{collection.pk}",
        f"/entities/{photo.pk}/versions",
        f"/intelligence/entities/{photo.pk}",
        f"/intelligence/entities/{photo.pk}/faces",
    } <= of_photo
    assert any(link.startswith(f"http://testserver/entities/{photo.pk}/media?") for link in of_photo)
    assert f"/entities?parent_id={collection.pk}" in of_collection


def test_a_face_is_linked_with_its_person(browser: Client) -> None:
    person = make_person()
    face = make_face(make_photo(1), known_person=person)

    links = _links(browser.get(f"/intelligence/entities/{face.entity_id}/faces").content.decode())

    assert {f"/intelligence/known-persons/{person.pk}", f"/entities/{face.entity_id}"} <= links


def test_an_earlier_version_is_restored_by_a_button(browser: Client) -> None:
    photo = make_photo(1)

    page = browser.get(f"/entities/{photo.pk}/versions").content.decode()

    assert f'action="/entities/{photo.pk}/restore?version=1"' in page
    assert browser.post(f"/entities/{photo.pk}/restore?version=1").status_code == 200


@pytest.mark.parametrize("named", ["0", "no-number", "9" * 5000, "-1"])
def test_an_entity_that_is_not_there(browser: Client, named: str) -> None:
    page = browser.get(f"/entities/{named}")

    assert page.status_code in {404, 422}
    assert b"Log out" in page.content


def _fields(page: str) -> set[str]:
    return set(re.findall(r'name="([a-z_0-9]+)"', page))


def _links(page: str) -> set[str]:
    return set(re.findall(r'href="([^"]+)"', page))


def test_a_setting_says_who_changed_it(browser: Client) -> None:
    set_guest_mode(is_on=True, by=None)

    answer = browser.post(f"/admin/entities/serviceconfig/{KEY}/change/", {"key": KEY, "value": "false"})

    assert answer.status_code == 302
    setting = ServiceConfig.objects.get(key=KEY)
    assert setting.value is False
    assert setting.updated_by == str(User.objects.get().pk)
