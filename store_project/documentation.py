"""The API's description of itself: how callers are known, and which errors each operation can answer."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

from drf_spectacular.extensions import OpenApiAuthenticationExtension
from drf_spectacular.openapi import AutoSchema
from drf_spectacular.utils import OpenApiResponse
from rest_framework.permissions import SAFE_METHODS

from entities.api.documentation import FaultsSerializer, error
from entities.api.validation import MAX_ID
from store_project.access import Access
from store_project.throttling import READS


class BearerScheme(OpenApiAuthenticationExtension):
    target_class = "store_project.authentication.TokenAuthentication"
    name = "bearer"

    def get_security_definition(self, auto_schema: AutoSchema) -> dict[str, str]:
        return {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}


class SessionScheme(OpenApiAuthenticationExtension):
    target_class = "store_project.authentication.BrowserSessionAuthentication"
    name = "session"

    def get_security_definition(self, auto_schema: AutoSchema) -> dict[str, str]:
        return {"type": "apiKey", "in": "cookie", "name": "sessionid"}


UNREADABLE = error("The request cannot be read: it was cut off, or is not what it says it is.")
TOO_LARGE = error("The request is larger than the limit.")
NOBODY = error("Nobody is logged in, or the token is expired or not valid.")
NOT_ALLOWED = error("The permission for this is missing; the text names it.")
UNKNOWN = error("There is none of this number.")
TOO_OFTEN = error("Asked too often without logging in; `Retry-After` says when to go on.")
WRONG = OpenApiResponse(FaultsSerializer, "What was sent is not as it should be.")

EXAMPLES = Path(__file__).with_name("examples.json")
ID = {"type": "integer", "format": "int64", "minimum": 0, "maximum": MAX_ID}


class StoreSchema(AutoSchema):
    """Adds what the permissions, the paths and the checks of a request answer, so that no view has to."""

    def _resolve_path_parameters(self, variables: list[str]) -> list[dict[str, Any]]:
        parameters: list[dict[str, Any]] = super()._resolve_path_parameters(variables)
        for parameter in parameters:
            if parameter["name"].endswith("_id"):
                parameter |= {"schema": ID, "description": "Its number."}
            else:
                parameter["description"] = "Its name, without a path."
        return parameters

    def _get_response_bodies(self, direction: Literal["request", "response"] = "response") -> dict[str, Any]:
        responses: dict[str, Any] = super()._get_response_bodies(direction)
        for code, described in self._errors().items():
            responses.setdefault(code, self._get_response_for_code(described, code))
        for response in responses.values():
            response["description"] = response["description"] or "What was asked for."
        return dict(sorted(responses.items()))

    def _errors(self) -> dict[str, OpenApiResponse]:
        sends = self.method not in SAFE_METHODS
        has_body = sends and bool(self._get_request_body())
        access = self._access()
        happens = {
            "400": (sends, UNREADABLE),
            "401": (access is not Access.PUBLIC, NOBODY),
            "403": (access is not Access.PUBLIC and (sends or access is not Access.USER), NOT_ALLOWED),
            "429": (access is Access.READ or (not sends and access in READS), TOO_OFTEN),
            "404": ("{" in self.path, UNKNOWN),
            "413": (has_body, TOO_LARGE),
            "422": (has_body or "{" in self.path or bool(self.get_override_parameters()), WRONG),
        }
        return {code: described for code, (can_be, described) in happens.items() if can_be}

    def _access(self) -> Access:
        by_action = getattr(self.view, "access_of", {})
        action = str(getattr(self.view, "action", None))
        return Access(by_action.get(action, getattr(self.view, "access", Access.STORE)))


def spell_without_slash(result: dict[str, Any], **_options: Any) -> dict[str, Any]:
    """Both spellings answer; the one without a slash is the one to use."""
    result["paths"] = {path.rstrip("/") or "/": item for path, item in result["paths"].items()}
    return result


def newer_spelling(path: str) -> str:
    return path.replace("/config", "/pref") if "/config" in path else f"/intelligence{path}"


def mark_older_spellings(result: dict[str, Any], **_options: Any) -> dict[str, Any]:
    """Some operations are spoken at two paths; the one to use comes first in the pages."""
    paths = result["paths"]
    for path, method, operation in _operations(result):
        newer = newer_spelling(path)
        if operation["summary"] == paths.get(newer, {}).get(method, {}).get("summary"):
            operation["deprecated"] = True
            operation["tags"] = ["older spellings"]
            operation["description"] = f"As `{newer}`. {operation['description']}"
    return result


def add_examples(result: dict[str, Any], **_options: Any) -> dict[str, Any]:
    """What the server answered once; a test asks again."""
    examples = json.loads(EXAMPLES.read_text())
    for path, method, operation in _operations(result):
        spelt = newer_spelling(path) if operation.get("deprecated") else path
        example = examples.get(f"{method.upper()} {spelt}", {})
        for parameter in operation.get("parameters", []):
            if parameter["name"] in example.get("query", {}):
                parameter["example"] = example["query"][parameter["name"]]
        if "request" in example:
            _show(operation["requestBody"], example["request"])
        for code in {"200", "201"} & operation["responses"].keys():
            if "answer" in example:
                _show(operation["responses"][code], example["answer"])
    return result


def _operations(result: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, item in result["paths"].items():
        for method, operation in item.items():
            yield path, method, operation


def _show(described: dict[str, Any], example: Any) -> None:
    for content in described["content"].values():
        content["example"] = example
