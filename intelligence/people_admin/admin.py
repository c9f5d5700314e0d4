from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.http import HttpRequest
from django.urls import URLPattern, path

from entities.guest_mode import is_guest_mode_on
from intelligence.models import KnownPerson
from intelligence.people_admin.faces import MovePage, RemovePage, WaitingPage
from intelligence.people_admin.merging import MergePage, SuggestionsPage
from intelligence.people_admin.operations import OperationsPage, UndoPage
from intelligence.people_admin.pages import PeoplePage
from intelligence.people_admin.person import PersonPage
from intelligence.people_admin.wall import WallPage

PAGES: tuple[tuple[str, str, type[PeoplePage]], ...] = (
    ("", "changelist", WallPage),
    ("<int:person_id>/change/", "change", PersonPage),
    ("move/", "move", MovePage),
    ("remove-faces/", "remove_faces", RemovePage),
    ("merge/", "merge", MergePage),
    ("suggestions/", "suggestions", SuggestionsPage),
    ("waiting/", "waiting", WaitingPage),
    ("operations/", "operations", OperationsPage),
    ("undo/", "undo", UndoPage),
)


class KnownPersonAdmin(admin.ModelAdmin[KnownPerson]):
    """People come from faces, and what users say of them are operations: the pages here are all there are."""

    def get_urls(self) -> list[URLPattern]:
        return [
            path(
                route,
                self.admin_site.admin_view(page.as_view(model_admin=self)),
                name=f"intelligence_knownperson_{name}",
            )
            for route, name, page in PAGES
        ]

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False  # what people decided about the person would go with it; hide it instead

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return super().has_view_permission(request, obj) and _may_read(request.user)

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        may_write = request.user.has_perm("entities.media_store_write")
        return super().has_change_permission(request, obj) and may_write


def _may_read(user: Any) -> bool:
    """As the API, which serves the pictures, has it."""
    return user.has_perm("entities.media_store_read") or is_guest_mode_on()
