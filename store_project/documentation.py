"""The API's description of itself: how callers are known, and which errors each operation can answer."""

from __future__ import annotations

from typing import Any, Literal

from drf_spectacular.extensions import OpenApiAuthenticationExtension
from drf_spectacular.openapi import AutoSchema
from rest_framework import serializers
from rest_framework.permissions import SAFE_METHODS

from store_project.access import Access


class ErrorSerializer(serializers.Serializer[Any]):
    detail = serializers.CharField(help_text="What is wrong, and what to do.")


class FaultSerializer(serializers.Serializer[Any]):
    type = serializers.CharField()
    loc = serializers.ListField(child=serializers.CharField(), help_text="Where: body, query or path; which.")
    msg = serializers.CharField()
    input = serializers.JSONField(allow_null=True, help_text="What was given.")


class FaultsSerializer(serializers.Serializer[Any]):
    """A text, or for each field that is wrong what and where."""

    detail = FaultSerializer(many=True)


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


class StoreSchema(AutoSchema):
    """Adds what the permissions, the paths and the checks of a request answer, so that no view has to."""

    def _get_response_bodies(self, direction: Literal["request", "response"] = "response") -> dict[str, Any]:
        responses: dict[str, Any] = super()._get_response_bodies(direction)
        for code, serializer in self._errors().items():
            responses.setdefault(code, self._get_response_for_code(serializer(), code))
        return dict(sorted(responses.items()))

    def _errors(self) -> dict[str, type[serializers.Serializer[Any]]]:
        errors: dict[str, type[serializers.Serializer[Any]]] = {}
        if self._access() is not Access.PUBLIC:
            errors |= {"401": ErrorSerializer, "403": ErrorSerializer}
        if "{" in self.path:
            errors |= {"404": ErrorSerializer}
        if self.method not in SAFE_METHODS:
            errors |= {"400": ErrorSerializer}
        if "{" in self.path or self.method not in SAFE_METHODS or self._get_filter_parameters():
            errors |= {"422": FaultsSerializer}
        return errors

    def _access(self) -> Access:
        by_action = getattr(self.view, "access_of", {})
        action = str(getattr(self.view, "action", None))
        return Access(by_action.get(action, getattr(self.view, "access", Access.STORE)))


def spell_without_slash(result: dict[str, Any], **_options: Any) -> dict[str, Any]:
    """Both spellings answer; the one without a slash is the one to use."""
    result["paths"] = {path.rstrip("/") or "/": item for path, item in result["paths"].items()}
    return result
