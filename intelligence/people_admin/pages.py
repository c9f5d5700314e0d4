"""What the pages of people have in common: who may see and change, and how the outcome of a step is told."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from django import forms
from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponseRedirect
from django.http.response import HttpResponseBase
from django.urls import reverse
from django.utils.html import format_html
from django.utils.http import url_has_allowed_host_and_scheme
from django.views.generic import TemplateView

from intelligence.models import PeopleOperation
from intelligence.people import ConflictError, PeopleError, UnknownError
from intelligence.people_admin.forms import IdsField

LOOKING = frozenset({"GET", "HEAD", "OPTIONS"})
UNDO = '<button form="undo" name="operation" value="{}" class="undo">Undo</button>'

Form = TypeVar("Form", bound=forms.Form)


def path_to(page: str, *arguments: object) -> str:
    return reverse(f"admin:intelligence_knownperson_{page}", args=arguments)


class PeoplePage(TemplateView):
    """To be looked at with the permission to view people, and posted to with the one to change them."""

    model_admin: Any = None
    """Given by as_view()."""
    title = ""

    def dispatch(self, request: HttpRequest, *arguments: Any, **options: Any) -> HttpResponseBase:
        looks = request.method in LOOKING
        allowed = self.model_admin.has_view_permission if looks else self.model_admin.has_change_permission
        if not allowed(request):
            raise PermissionDenied(f"You may not {'see' if looks else 'change'} people.")
        request.current_app = self.model_admin.admin_site.name
        return super().dispatch(request, *arguments, **options)

    def get_context_data(self, **context: Any) -> dict[str, Any]:
        common = {
            **self.model_admin.admin_site.each_context(self.request),
            "title": self.title,
            "opts": self.model_admin.opts,
            "may_change": self.model_admin.has_change_permission(self.request),
            "here": self.request.get_full_path(),
        }
        return super().get_context_data(**{**common, **context})

    def asked(self, form_class: type[Form]) -> Form | None:
        """None where it makes no sense: then the next page says why."""
        given = self.request.GET if self.request.method in LOOKING else self.request.POST
        form = form_class(given)
        if form.is_valid():
            return form
        for name, errors in form.errors.items():
            for error in errors:
                speaks_for_itself = isinstance(form.fields[name], IdsField)
                messages.error(
                    self.request, str(error) if speaks_for_itself else f"{name.capitalize()}: {error}"
                )
        return None

    def take(self, step: Callable[..., PeopleOperation], **arguments: Any) -> PeopleOperation | None:
        """None where something stands in the way: the next page says what."""
        try:
            operation = step(by=str(self.request.user.pk), **arguments)
        except (PeopleError, UnknownError, ConflictError) as error:
            messages.error(self.request, str(error))
            return None
        if not operation.pk:
            messages.info(self.request, "Nothing changed: it is so already.")
        elif operation.kind == PeopleOperation.Kind.UNDO:
            messages.success(self.request, f"{operation.summary}.")
        else:
            undo = format_html(UNDO, operation.pk)
            messages.success(self.request, format_html("{}. {}", operation.summary, undo))
        return operation

    def back(self, otherwise: str | None = None) -> HttpResponseRedirect:
        """To the page that the form was on."""
        return HttpResponseRedirect(self.came_from() or otherwise or path_to("changelist"))

    def came_from(self) -> str:
        """Empty where it is none of ours."""
        given = self.request.GET if self.request.method in LOOKING else self.request.POST
        wanted = given.get("next", "")
        is_ours = url_has_allowed_host_and_scheme(
            wanted, allowed_hosts={self.request.get_host()}, require_https=self.request.is_secure()
        )
        return wanted if is_ours else ""
