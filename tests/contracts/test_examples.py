"""The examples in the OpenAPI schema are true: asked again, the server answers the same in kind.

Where answers have changed, OPENAPI_WRITE_EXAMPLES=1 writes down what the server answers now.
"""

from __future__ import annotations

import json
import os
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest
import schemathesis
from django.conf import settings
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import override_settings
from drf_spectacular.generators import SchemaGenerator

from intelligence import hints
from store_project import accounts, keys
from store_project.documentation import EXAMPLES
from tests.factories import jpeg
from tests.populated import Populated, answer_errands, look_at_searches, populate
from tests.tokens import bearer

examples: dict[str, Any] = json.loads(EXAMPLES.read_text())
document: Any = SchemaGenerator().get_schema(request=None, public=True)
described = schemathesis.openapi.from_dict(document)


def kind(value: Any) -> Any:
    """What stays when the numbers, the dates and the words are others."""
    if isinstance(value, dict):
        return {name: kind(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [kind(inner) for inner in value[:1]]
    return type(value).__name__


def meant(populated: Populated, fields: dict[str, Any]) -> dict[str, Any]:
    """With the ids that this store has."""
    named = {
        "survivor_id": populated.ids["person_id"][0],
        "other_ids": populated.ids["person_id"][1:],
        "other_id": populated.ids["person_id"][1],
        "person_id": populated.ids["person_id"][0],
        "face_ids": populated.ids["face_id"][:1],
        "face_id": populated.ids["face_id"][0],
    }
    return {name: named.get(name, value) for name, value in fields.items()}


def ask(populated: Populated, operation: str, example: dict[str, Any]) -> Any:
    method, path = operation.split()
    path = path.format(**{name: ids[0] for name, ids in populated.ids.items()})
    asked = example.get("query", {})
    body = json.loads(json.dumps(example.get("request")), object_hook=partial(meant, populated))
    if "entity" in asked:
        asked = asked | {"entity": populated.ids["entity_id"][0]}
    query = "&".join(f"{name}={value}" for name, value in asked.items())
    client = bearer(accounts.token_for(populated.admin, keys.signing_key(settings.PUBLIC_KEY_FILE)))
    as_json = {"format": "json"} if "known-persons" in path or "faces" in path else {}
    send = getattr(client, method.lower())
    if "search" in operation and body:
        body = body | {"image": SimpleUploadedFile("any.name", jpeg(1))}
    return send(f"{path}?{query}" if query else path, body, **as_json)


@pytest.fixture
def populated(media_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setattr(hints, "encode", look_at_searches)
    answer_errands(monkeypatch, tmp_path)
    with override_settings(PUBLIC_KEY_FILE=tmp_path / "keys" / "public_key.pem"):
        yield populate()


@pytest.mark.django_db
@pytest.mark.parametrize("operation", examples)
def test_the_server_answers_like_the_example(populated: Populated, operation: str) -> None:
    if any(word in operation for word in ("similar", "search", "duplicates")):
        populated.put_vectors()

    answer = ask(populated, operation, examples[operation])

    assert answer.status_code in {200, 201}, answer.content
    if os.environ.get("OPENAPI_WRITE_EXAMPLES"):
        examples[operation]["answer"] = answer.json()
        EXAMPLES.write_text(json.dumps(examples, indent=1) + "\n")
    assert kind(answer.json()) == kind(examples[operation]["answer"])


@pytest.mark.parametrize("operation", examples)
def test_examples_are_as_the_schema_says(operation: str) -> None:
    method, path = operation.split()
    told = described[path][method]
    code = min(code for code in document["paths"][path][method.lower()]["responses"] if code.startswith("2"))
    request = httpx.Request(method, "http://localhost/")
    answer = httpx.Response(int(code), json=examples[operation]["answer"], request=request)
    answer.elapsed = timedelta(0)
    told.validate_response(answer)


def test_every_operation_that_answers_json_has_an_example() -> None:
    for path, item in document["paths"].items():
        for method, operation in item.items():
            for code in {"200", "201"} & operation["responses"].keys():
                content = operation["responses"][code]["content"]
                assert "example" in content.get("application/json", {"example": None}), (method, path)
            for content in operation.get("requestBody", {"content": {}})["content"].values():
                assert "example" in content, (method, path)
