from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command
from django.test import Client
from drf_spectacular.generators import SchemaGenerator


@pytest.fixture(scope="module")
def schema() -> Any:
    return SchemaGenerator().get_schema(request=None, public=True)


@pytest.fixture(scope="module")
def paths(schema: Any) -> Any:
    return schema["paths"]


def test_it_works(tmp_path: Path) -> None:
    """Valid, and nothing had to be guessed."""
    call_command("spectacular", validate=True, fail_on_warn=True, file=str(tmp_path / "schema.yml"))
    assert "openapi: 3" in (tmp_path / "schema.yml").read_text()


def test_the_pages_need_nothing_from_outside() -> None:
    page = Client().get("/api/docs")
    assert page.status_code == 200
    assert b"//cdn" not in page.content
    assert b"/api/schema" in Client().get("/api/docs?script=").content
    assert Client().get("/api/schema").status_code == 200


def test_paths_are_spelt_without_a_slash(paths: Any) -> None:
    assert {"/", "/entities", "/entities/{entity_id}"} <= set(paths)
    assert not [path for path in paths if path != "/" and path.endswith("/")]


def test_errors_are_described(paths: Any) -> None:
    assert {"200", "401", "403", "404", "422"} <= set(paths["/entities/{entity_id}"]["get"]["responses"])
    assert {"201", "401", "403", "422"} <= set(paths["/entities"]["post"]["responses"])
    assert set(paths["/"]["get"]["responses"]) == {"200"}


def test_callers_are_known_by_token_or_session(paths: Any) -> None:
    assert {"bearer": []} in paths["/entities"]["get"]["security"]
    assert {"session": []} in paths["/entities"]["get"]["security"]


def test_every_operation_explains_itself(paths: Any) -> None:
    for path, item in paths.items():
        for method, operation in item.items():
            told = [operation["summary"], operation["description"]]
            told += [parameter.get("description") for parameter in operation.get("parameters", [])]
            told += [response["description"] for response in operation["responses"].values()]
            assert all(told), (method, path, told)


def test_every_field_of_a_request_explains_itself(schema: Any) -> None:
    for path, item in schema["paths"].items():
        for method, operation in item.items():
            for content in operation.get("requestBody", {"content": {}})["content"].values():
                name = content["schema"]["$ref"].rpartition("/")[2]
                for field, described in schema["components"]["schemas"][name]["properties"].items():
                    assert described.get("description"), (method, path, field)


def test_older_spellings_stand_apart(paths: Any) -> None:
    older = {path for path, item in paths.items() for told in item.values() if told.get("deprecated")}
    assert {"/admin/config", "/known-persons", "/faces/{face_id}/similar"} <= older
    assert not older & {"/entities", "/entities/{entity_id}", "/admin/pref", "/faces/{face_id}"}
