from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from django.contrib import messages
from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase

from entities.storage import EntityStorageService
from intelligence import faces, people
from intelligence.models import Face, KnownPerson, PeopleOperation
from intelligence.people import listing
from intelligence.people.walls import closest_people
from intelligence.people_admin.forms import AssignmentForm, FacesForm, MoveForm, ProposalForm
from intelligence.people_admin.pages import PeoplePage, path_to
from vectors import VectorsUnavailableError, get_face_store

CANDIDATES = 24
WAITING_ON_A_PAGE = 48


class ChosenFacesPage(PeoplePage):
    """About faces that were chosen on another page."""

    def get(self, request: HttpRequest, *arguments: Any, **options: Any) -> HttpResponse:
        form = self.asked(MoveForm)
        chosen = list(Face.objects.filter(pk__in=form.cleaned_data["face"])) if form else []
        if form is None or not chosen:
            return self.back()
        return super().get(request, *arguments, **options, faces=chosen, q=form.cleaned_data["q"])

    def get_context_data(self, **context: Any) -> dict[str, Any]:
        return super().get_context_data(came_from=self.came_from(), **context)


class MovePage(ChosenFacesPage):
    """Who is it? People who look like it first, and anybody by name."""

    template_name = "admin/intelligence/knownperson/move.html"
    title = "Who is this?"

    def get_context_data(self, **context: Any) -> dict[str, Any]:
        chosen, q = context["faces"], context["q"]
        return super().get_context_data(candidates=_named_like(q) if q else _candidates(chosen), **context)

    def post(self, _request: HttpRequest) -> HttpResponseBase:
        if form := self.asked(AssignmentForm):
            asked = form.cleaned_data
            self.take(
                people.assign,
                face_ids=asked["face"],
                person_id=asked["person"],
                name=None if asked["person"] else asked["name"] or None,
            )
        return self.back()


def _named_like(q: str) -> list[KnownPerson]:
    return list(listing.find_people(search=q, with_hidden=True, order="faces")[:CANDIDATES])


def _candidates(chosen: Sequence[Face]) -> list[KnownPerson]:
    """Without whom they are taken for."""
    now = {face.known_person_id for face in chosen}
    closest = closest_people([face.pk for face in chosen], limit=CANDIDATES)
    alike = listing.people().in_bulk(closest)
    known = listing.find_people(named=True, order="faces")[:CANDIDATES]
    everyone = {pk: alike[pk] for pk in closest if pk in alike} | {each.pk: each for each in known}
    return [each for each in everyone.values() if each.pk not in now][:CANDIDATES]


class RemovePage(ChosenFacesPage):
    """What is no face goes, with its picture and its vector. It is asked twice: undoing it costs another look
    at the photo.
    """

    template_name = "admin/intelligence/knownperson/remove_faces.html"
    title = "Not a face"

    def post(self, _request: HttpRequest) -> HttpResponseBase:
        if form := self.asked(FacesForm):
            self._remove(form.cleaned_data["face"])
        return self.back()

    def _remove(self, face_ids: Sequence[int]) -> None:
        storage, store = EntityStorageService.from_settings(), get_face_store()
        gone = 0
        for face_id in face_ids:
            try:
                faces.remove(face_id=face_id, storage=storage, store=store, by=str(self.request.user.pk))
            except Face.DoesNotExist:
                continue  # somebody was faster
            except VectorsUnavailableError:
                messages.error(self.request, "The vectors cannot be reached: try again later.")
                break
            gone += 1
        messages.success(self.request, f"Removed {gone} {'picture' if gone == 1 else 'pictures'}.")


class WaitingPage(PeoplePage):
    """Faces that were given to nobody, with whom each is the closest to."""

    template_name = "admin/intelligence/knownperson/waiting.html"
    title = "Who is this?"

    def get_context_data(self, **context: Any) -> dict[str, Any]:
        page = Paginator(listing.waiting_faces(), WAITING_ON_A_PAGE).get_page(self.request.GET.get("page"))
        suggested = listing.people().in_bulk(
            {face.suggested_person_id for face in page if face.suggested_person_id}  # type: ignore[attr-defined]
        )
        waiting = [(face, suggested.get(face.suggested_person_id)) for face in page]  # type: ignore[attr-defined]
        return super().get_context_data(page=page, waiting=waiting, **context)

    def post(self, request: HttpRequest) -> HttpResponseBase:
        if form := self.asked(ProposalForm):
            steps: dict[str, Callable[..., PeopleOperation]] = {"yes": people.assign, "no": people.reject}
            step = steps.get(request.POST.get("answer", ""))
            if step is None:
                messages.error(request, "Say yes or no.")
            else:
                self.take(step, face_ids=form.cleaned_data["face"], person_id=form.cleaned_data["person"])
        return self.back(path_to("waiting"))
