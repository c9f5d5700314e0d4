from __future__ import annotations

from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from intelligence.models import Face, FaceMatch
from tests.intelligence.people.conftest import Library, library

__all__ = ["library"]


class Pages:
    """The pages of people, as the user whose client it is sees them."""

    def __init__(self, client: Client) -> None:
        self.client = client

    def path(self, page: str, *arguments: object) -> str:
        return reverse(f"admin:intelligence_knownperson_{page}", args=arguments)

    def see(self, page: str, /, *arguments: object, **query: Any) -> Any:
        """Where a redirect leads to."""
        answer = self.client.get(self.path(page, *arguments), query, follow=True)
        assert answer.status_code == 200
        return answer

    def post(self, page: str, /, *arguments: object, **form: Any) -> list[str]:
        """What the next page says about it."""
        answer = self.client.post(self.path(page, *arguments), form, follow=True)
        assert answer.status_code == 200
        return [str(message) for message in answer.context["messages"]]


@pytest.fixture
def pages(admin_client: Client) -> Pages:
    return Pages(admin_client)


def match(face: Face, other: Face, similarity: float, rule: str = "core") -> None:
    FaceMatch.objects.create(
        face=face, matched_face=other, similarity=similarity, threshold=0.5, model="model", rule=rule
    )


__all__ += ["Library", "Pages", "match"]
