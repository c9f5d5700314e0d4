from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from django.contrib.auth import get_user_model
from django.core.paginator import Paginator
from django.http import HttpRequest
from django.http.response import HttpResponseBase

from intelligence import people
from intelligence.models import PeopleOperation
from intelligence.people import listing
from intelligence.people_admin.forms import MAX_ID_DIGITS, OperationForm
from intelligence.people_admin.pages import PeoplePage, path_to

OPERATIONS_ON_A_PAGE = 50
Kind = PeopleOperation.Kind


@dataclass(frozen=True)
class Told:
    operation: PeopleOperation
    by: str
    is_undone: bool

    @property
    def can_be_undone(self) -> bool:
        return not self.is_undone and self.operation.kind != Kind.UNDO


def with_names(operations: Iterable[PeopleOperation]) -> list[Told]:
    """Of the store's own users; others are known by what their token calls them."""
    found = list(operations)
    ids = {int(each.by) for each in found if each.by and _can_be_an_id(each.by)}
    names = {str(user.pk): user.get_username() for user in get_user_model().objects.filter(pk__in=ids)}
    return [
        Told(each, names.get(each.by or "", each.by or _nobody(each)), hasattr(each, "undone_in"))
        for each in found
    ]


def _can_be_an_id(by: str) -> bool:
    return by.isdecimal() and len(by) <= MAX_ID_DIGITS


def _nobody(operation: PeopleOperation) -> str:
    return "the store itself" if operation.kind == Kind.RECLUSTER else "somebody unknown"


class OperationsPage(PeoplePage):
    """What was done, in words, the newest first."""

    template_name = "admin/intelligence/knownperson/operations.html"
    title = "What was done with people"

    def get_context_data(self, **context: Any) -> dict[str, Any]:
        page = Paginator(listing.operations(), OPERATIONS_ON_A_PAGE).get_page(self.request.GET.get("page"))
        return super().get_context_data(page=page, operations=with_names(page), **context)


class UndoPage(PeoplePage):
    http_method_names = ("post",)

    def post(self, _request: HttpRequest) -> HttpResponseBase:
        if form := self.asked(OperationForm):
            self.take(people.undo, operation_id=form.cleaned_data["operation"])
        return self.back(path_to("operations"))
