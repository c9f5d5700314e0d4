from __future__ import annotations

import time
from typing import Any

import pytest

from entities.guest_mode import KEY, is_guest_mode_on, set_guest_mode
from entities.models import ServiceConfig
from tests.tokens import TokenService, bearer, nobody

pytestmark = pytest.mark.django_db

PREFERENCES = ["/admin/pref", "/admin/pref/", "/admin/config", "/admin/config/"]
SWITCHES = [
    f"{path}{slash}" for path in ("/admin/pref/guest-mode", "/admin/config/guest-mode") for slash in ("", "/")
]
URLENCODED = "application/x-www-form-urlencoded"


@pytest.fixture
def admin(service: TokenService) -> Any:
    return bearer(service.token(is_admin=True, id="ada"))


@pytest.mark.parametrize("path", PREFERENCES)
def test_it_is_on_until_somebody_sets_it(admin: Any, path: str) -> None:
    assert admin.get(path).json() == {"guest_mode": True, "updated_at": None, "updated_by": None}


@pytest.mark.parametrize("path", SWITCHES)
def test_an_admin_switches_it(admin: Any, path: str) -> None:
    answer = admin.put(path, {"guest_mode": "false"})
    assert answer.status_code == 200
    assert answer.json()["guest_mode"] is False
    assert isinstance(answer.json()["message"], str)
    seen = admin.get("/admin/pref").json()
    assert seen["guest_mode"] is False
    assert seen["updated_by"] == "ada"
    assert isinstance(seen["updated_at"], int)
    assert abs(seen["updated_at"] - time.time() * 1000) < 10_000


@pytest.mark.parametrize(("word", "is_on"), [("ON", True), ("1", True), ("off", False), ("No", False)])
def test_both_encodings_and_all_words_are_understood(admin: Any, word: str, is_on: bool) -> None:  # noqa: FBT001
    for form in ({"data": {"guest_mode": word}}, {"data": f"guest_mode={word}", "content_type": URLENCODED}):
        set_guest_mode(is_on=not is_on, by=None)
        assert admin.put("/admin/pref/guest-mode", **form).json()["guest_mode"] is is_on
        assert is_guest_mode_on() is is_on


@pytest.mark.parametrize(
    "form",
    [
        {},
        {"data": {"guest_mode": "perhaps"}},
        {"data": {"guest_mode": ""}},
        {"data": '{"guest_mode": false}', "content_type": "application/json"},
    ],
    ids=["nothing", "junk", "empty", "JSON"],
)
def test_what_is_no_answer_changes_nothing(admin: Any, form: dict[str, Any]) -> None:
    answer = admin.put("/admin/pref/guest-mode", **form)
    assert answer.status_code == 422
    assert answer.json()["detail"][0]["loc"][0] == "body"
    assert is_guest_mode_on()


def test_it_is_seen_at_once_by_clients_and_at_the_door(admin: Any) -> None:
    for word, status in (("off", 401), ("on", 200), ("off", 401)):
        admin.put("/admin/pref/guest-mode", {"guest_mode": word})
        assert nobody().get("/").json()["guestMode"] == word
        assert nobody().get("/entities").status_code == status


def test_a_change_by_another_process_counts_with_the_next_request(admin: Any) -> None:
    set_guest_mode(is_on=True, by=None)
    assert nobody().get("/entities").status_code == 200
    ServiceConfig.objects.filter(key=KEY).update(value=False)  # nothing here hears of it
    assert nobody().get("/entities").status_code == 401


@pytest.mark.parametrize("value", ["off", "true", 1, 0, {}, []], ids=repr)
def test_a_setting_that_is_no_boolean_keeps_guests_out(admin: Any, value: Any) -> None:
    ServiceConfig.objects.create(key=KEY, value=value)
    assert not is_guest_mode_on()
    assert admin.get("/admin/pref").json()["guest_mode"] is False


def test_a_reader_is_let_in_without_looking_it_up(
    service: TokenService, django_assert_num_queries: Any
) -> None:
    client = bearer(service.token("media_store_read"))
    with django_assert_num_queries(1):
        client.get("/entities")
