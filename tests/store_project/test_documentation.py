from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command
from django.test import Client
from drf_spectacular.generators import SchemaGenerator


@pytest.fixture(scope="module")
def paths() -> Any:
    return SchemaGenerator().get_schema(request=None, public=True)["paths"]


def test_it_works(tmp_path: Path) -> None:
    """Valid, and nothing had to be guessed."""
    call_command("spectacular", validate=True, fail_on_warn=True, file=str(tmp_path / "schema.yml"))
    assert "openapi: 3" in (tmp_path / "schema.yml").read_text()


def test_the_pages_need_nothing_from_outside() -> None:
    page = Client().get("/api/docs")
    assert page.status_code == 200
    assert b"/api/schema" in page.content
    assert b"//cdn" not in page.content
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
