from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

from django.contrib import messages
from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.http.response import HttpResponseBase

from intelligence import people
from intelligence.models import KnownPerson
from intelligence.people import listing
from intelligence.people_admin import forms
from intelligence.people_admin.operations import with_names
from intelligence.people_admin.pages import PeoplePage, path_to

FACES_ON_A_PAGE = 96
OPERATIONS_SHOWN = 10


class PersonPage(PeoplePage):
    """One person with their faces, those first that are the least certain."""

    template_name = "admin/intelligence/knownperson/person.html"
    person: KnownPerson

    def dispatch(self, request: HttpRequest, *arguments: Any, **options: Any) -> HttpResponseBase:
        self.person_id: int = options["person_id"]
        return super().dispatch(request, *arguments, **options)

    def get(self, request: HttpRequest, *arguments: Any, **options: Any) -> HttpResponse:
        person = listing.people().filter(pk=self.person_id).first()
        if person is None:
            messages.info(request, f"There is no person {self.person_id} any more.")
            return HttpResponseRedirect(path_to("changelist"))
        return super().get(request, *arguments, **options, person=person)

    def get_context_data(self, **context: Any) -> dict[str, Any]:
        person: KnownPerson = context["person"]
        faces = Paginator(listing.faces_by_doubt(person.pk), FACES_ON_A_PAGE)
        newest = listing.operations(person.pk)[:OPERATIONS_SHOWN]
        return super().get_context_data(
            title=str(person),
            page=faces.get_page(self.request.GET.get("page")),
            operations=with_names(newest),
            **context,
        )

    def post(self, request: HttpRequest, *_arguments: Any, **_options: Any) -> HttpResponseBase:
        step = self.STEPS.get(request.POST.get("step", ""))
        if step is None:
            messages.error(request, "Choose what to do with one of the buttons.")
        else:
            step(self)
        return self.back(path_to("change", self.person_id))

    def _rename(self) -> None:
        if form := self.asked(forms.NameForm):
            name = form.cleaned_data["name"] or None
            self.take(people.rename, person_id=self.person_id, name=name)

    def _hide(self) -> None:
        self.take(people.set_hidden, person_id=self.person_id, hidden=True)

    def _show(self) -> None:
        self.take(people.set_hidden, person_id=self.person_id, hidden=False)

    def _best_cover(self) -> None:
        self.take(people.set_cover, person_id=self.person_id, face_id=None)

    def _cover(self) -> None:
        if form := self.asked(forms.CoverForm):
            (face_id,) = form.cleaned_data["face"]
            self.take(people.set_cover, person_id=self.person_id, face_id=face_id)

    def _confirm(self) -> None:
        """Of this person: the page may be older than what somebody else has done since."""
        if form := self.asked(forms.FacesForm):
            self.take(people.assign, face_ids=form.cleaned_data["face"], person_id=self.person_id)

    def _reject(self) -> None:
        if form := self.asked(forms.FacesForm):
            self.take(people.reject, face_ids=form.cleaned_data["face"], person_id=self.person_id)

    def _split(self) -> None:
        if form := self.asked(forms.NewPersonForm):
            self.take(
                people.split,
                person_id=self.person_id,
                face_ids=form.cleaned_data["face"],
                name=form.cleaned_data["name"] or None,
            )

    STEPS: ClassVar[dict[str, Callable[[PersonPage], None]]] = {
        "rename": _rename,
        "hide": _hide,
        "show": _show,
        "best_cover": _best_cover,
        "cover": _cover,
        "confirm": _confirm,
        "reject": _reject,
        "split": _split,
    }
