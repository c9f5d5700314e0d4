"""Whatever goes wrong, wherever: a JSON object with `detail`, and nothing of the inside."""

from __future__ import annotations

from typing import Any, NoReturn

import pytest
from django.core.exceptions import (
    PermissionDenied,
    RequestDataTooBig,
    SuspiciousFileOperation,
    TooManyFieldsSent,
    TooManyFilesSent,
)
from django.core.files.uploadedfile import SimpleUploadedFile
from django.http import Http404, UnreadablePostError
from django.test import override_settings
from django.urls import path
from rest_framework import exceptions, serializers
from rest_framework.parsers import JSONParser
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from entities.api.validation import InvalidRequestError
from store_project import urls
from tests.tokens import nobody

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("public_key")]

URLENCODED = "application/x-www-form-urlencoded"
raised: list[Exception] = []


class RaisingView(APIView):
    access = "public"

    def get(self, request: Request) -> NoReturn:
        raise raised.pop()


class JsonOnlyView(APIView):
    access = "public"
    parser_classes = (JSONParser,)

    def patch(self, request: Request) -> Response:
        return Response(request.data)


def raise_in_django(_request: Any) -> NoReturn:
    raise raised.pop()


urlpatterns = [
    path("raising", RaisingView.as_view()),
    path("json-only", JsonOnlyView.as_view()),
    path("django", raise_in_django),
    *urls.urlpatterns,
]
handler400, handler403 = urls.handler400, urls.handler403
handler404, handler500 = urls.handler404, urls.handler500


@pytest.fixture(autouse=True)
def _routes() -> Any:
    with override_settings(ROOT_URLCONF=__name__):
        yield


def answer_to(error: Exception, route: str = "/raising") -> tuple[int, Any]:
    raised.append(error)
    answer = nobody().get(route)
    assert answer.headers["Content-Type"] == "application/json"
    assert set(answer.json()) == {"detail"}
    return answer.status_code, answer.json()["detail"]


@pytest.mark.parametrize(
    ("error", "status", "detail"),
    [
        (exceptions.ParseError("JSON parse error"), 400, "JSON parse error"),
        (exceptions.AuthenticationFailed("no"), 401, "no"),
        (exceptions.NotAuthenticated(), 401, "Authentication required"),
        (exceptions.PermissionDenied("no"), 403, "no"),
        (exceptions.NotFound("Entity not found"), 404, "Entity not found"),
        (exceptions.MethodNotAllowed("GET"), 405, "Method Not Allowed"),
        (exceptions.NotAcceptable("no"), 406, "no"),
        (exceptions.Throttled(3), 429, "Request was throttled. Expected available in 3 seconds."),
        (exceptions.APIException("odd"), 500, "odd"),
        (PermissionDenied(), 403, "You do not have permission to perform this action."),
        (PermissionDenied("not you"), 403, "not you"),
        (Http404("no such thing"), 404, "no such thing"),
        (Http404(), 404, "Not Found"),
        (RequestDataTooBig("secret"), 413, "Request Entity Too Large"),
        (TooManyFieldsSent("many"), 400, "Bad Request"),
        (TooManyFilesSent("many"), 400, "Bad Request"),
        (SuspiciousFileOperation("/secret/path"), 400, "Bad Request"),
        (UnreadablePostError("broken off"), 400, "broken off"),
        (RuntimeError("secret"), 500, "Internal Server Error"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else None,
)
def test_every_error_is_one_json_object(error: Exception, status: int, detail: str) -> None:
    assert answer_to(error) == (status, detail)


@pytest.mark.parametrize(
    ("error", "status", "detail"),
    [
        (PermissionDenied(), 403, "Forbidden"),
        (Http404("secret"), 404, "Not Found"),
        (RequestDataTooBig("secret"), 413, "Request Entity Too Large"),
        (TooManyFieldsSent("secret"), 400, "Bad Request"),
        (SuspiciousFileOperation("secret"), 400, "Bad Request"),
        (RuntimeError("secret"), 500, "Internal Server Error"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else None,
)
def test_outside_the_api_too(error: Exception, status: int, detail: str) -> None:
    assert answer_to(error, "/django") == (status, detail)


def test_a_throttled_client_is_told_when_to_come_back() -> None:
    raised.append(exceptions.Throttled(3))
    assert nobody().get("/raising").headers["Retry-After"] == "3"


def test_faults_of_fields_are_a_list() -> None:
    fault = {"type": "missing", "loc": ["query", "page"], "msg": "needed", "input": None}
    assert answer_to(InvalidRequestError([fault])) == (422, [fault])


class FormSerializer(serializers.Serializer[Any]):
    name = serializers.CharField()
    sizes = serializers.ListField(child=serializers.IntegerField())

    def validate(self, attrs: Any) -> Any:
        raise serializers.ValidationError("They do not fit together.", code="unfit")


def test_what_a_serializer_raises_has_the_same_shape() -> None:
    serializer = FormSerializer(data={"sizes": [1, "x"]})
    with pytest.raises(serializers.ValidationError) as first:
        serializer.is_valid(raise_exception=True)
    status, faults = answer_to(first.value)
    assert status == 422
    assert [(fault["type"], fault["loc"]) for fault in faults] == [
        ("missing", ["body", "name"]),
        ("value_error.invalid", ["body", "sizes", 1]),
    ]
    assert set(faults[0]) == {"type", "loc", "msg", "input"}
    with pytest.raises(serializers.ValidationError) as second:
        FormSerializer(data={"name": "x", "sizes": []}).is_valid(raise_exception=True)
    _, faults = answer_to(second.value)
    assert faults == [
        {"type": "value_error.unfit", "loc": ["body"], "msg": "They do not fit together.", "input": None}
    ]


@pytest.mark.parametrize("route", ["/nothing/here", "/entities/1/nothing", "/auth"])
def test_an_unknown_path(route: str) -> None:
    answer = nobody().get(route)
    assert answer.status_code == 404
    assert answer.json() == {"detail": "Not Found"}


def test_a_body_of_the_wrong_kind_says_which_is_right() -> None:
    answer = nobody().post("/auth/token", {"username": "x"}, format="json")
    assert answer.status_code == 422
    (fault,) = answer.json()["detail"]
    assert fault["loc"] == ["body"]
    assert fault["msg"] == "Send the body as application/x-www-form-urlencoded or multipart/form-data."
    answer = nobody().patch("/json-only", {"name": "x"})
    assert answer.status_code == 422
    assert answer.json()["detail"][0]["msg"] == "Send the body as application/json."


@pytest.mark.parametrize(
    ("body", "content_type", "status"),
    [
        ("no boundary", "multipart/form-data", 400),
        ("junk", "multipart/form-data; boundary=x", 422),
        ("&".join(f"f{number}=" for number in range(1001)), URLENCODED, 400),
        ("username=" + "x" * 3_000_000, URLENCODED, 413),
        ("username=x", "text/plain", 422),
    ],
    ids=["no boundary", "not multipart", "many fields", "large", "text"],
)
def test_a_damaged_form_is_no_crash(body: str, content_type: str, status: int) -> None:
    answer = nobody().post("/auth/token", body, content_type=content_type)
    assert answer.status_code == status
    assert set(answer.json()) == {"detail"}


def test_a_large_body_is_refused_before_it_is_read() -> None:
    answer = nobody().patch("/json-only", b"{}", content_type="application/json", CONTENT_LENGTH="3000000000")
    assert answer.status_code == 413


def test_a_file_where_none_belongs_is_not_taken_in() -> None:
    form = {"username": "x", "password": "y", "file": SimpleUploadedFile("f", b"x" * 3_000_000)}
    for route in ("/auth/token", "/admin/login/"):
        answer = nobody().post(route, form)
        assert answer.status_code == 400
        assert set(answer.json()) == {"detail"}


@pytest.mark.parametrize(
    "accept", ["image/*", "application/vnd.apple.mpegurl", "text/html;level=9,x/y", "junk"]
)
def test_nothing_is_refused_for_what_it_accepts(accept: str) -> None:
    answer = nobody().get("/?format=odd", HTTP_ACCEPT=accept)
    assert answer.status_code == 200
    assert answer.json()["status"] == "healthy"


def test_a_browser_gets_a_page() -> None:
    answer = nobody().get("/", HTTP_ACCEPT="text/html,*/*;q=0.8")
    assert answer.headers["Content-Type"].startswith("text/html")
    assert b"/api-auth/login" in answer.content
