from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.http.response import HttpResponseBase

from intelligence import people
from intelligence.models import Face, KnownPerson
from intelligence.people import listing, suggestions
from intelligence.people.walls import best_faces, photos_of_several
from intelligence.people_admin.forms import PairForm, PeopleForm
from intelligence.people_admin.pages import PeoplePage, path_to

FACES_OF_EACH = 24
FACES_OF_A_PAIR = 6
PAIRS_SHOWN = 20
LATER = "people_later"
"""In the session: pairs that were put off."""
MOST_PUT_OFF = 500


@dataclass(frozen=True)
class Wall:
    """A person as they are shown beside others."""

    person: KnownPerson
    faces: list[Face]

    @property
    def not_shown(self) -> int:
        number: int = self.person.face_count  # type: ignore[attr-defined]  # annotated
        return number - len(self.faces)


def walls_of(everyone: Sequence[KnownPerson], *, each: int) -> dict[int, Wall]:
    faces = best_faces([person.pk for person in everyone], each=each)
    return {person.pk: Wall(person, faces.get(person.pk, [])) for person in everyone}


def likely_survivor(everyone: Sequence[KnownPerson]) -> KnownPerson:
    """Who has a name, then the most faces, then has been there the longest."""
    return max(everyone, key=lambda each: (bool(each.name), each.face_count, -each.pk))  # type: ignore[attr-defined]


class MergePage(PeoplePage):
    """Shows who would become one, and who of them stays; then makes them one."""

    template_name = "admin/intelligence/knownperson/merge.html"

    def get(self, request: HttpRequest, *arguments: Any, **options: Any) -> HttpResponse:
        form = self.asked(PeopleForm)
        if form is None:
            return HttpResponseRedirect(path_to("changelist"))
        chosen = listing.people().in_bulk(form.cleaned_data["person"])
        everyone = [chosen[pk] for pk in form.cleaned_data["person"] if pk in chosen]
        if len(everyone) < len(form.cleaned_data["person"]):
            messages.error(request, "Some of them are not there any more; choose again.")
            return HttpResponseRedirect(path_to("changelist"))
        survivor = chosen.get(form.cleaned_data["survivor"] or 0) or likely_survivor(everyone)
        return super().get(request, *arguments, **options, everyone=everyone, survivor=survivor)

    def get_context_data(self, **context: Any) -> dict[str, Any]:
        everyone: list[KnownPerson] = context.pop("everyone")
        survivor: KnownPerson = context.pop("survivor")
        walls = walls_of(everyone, each=FACES_OF_EACH)
        others = [walls[each.pk] for each in everyone if each.pk != survivor.pk]
        names = [each.name for each in (survivor, *(wall.person for wall in others)) if each.name]
        return super().get_context_data(
            title=f"Merge into {survivor}",
            survivor=walls[survivor.pk],
            others=others,
            name=names[0] if names else "",
            photos_of_several=photos_of_several([each.pk for each in everyone]),
            **context,
        )

    def post(self, _request: HttpRequest) -> HttpResponseBase:
        form = self.asked(PeopleForm)
        if form is None:
            return self.back()
        survivor = form.cleaned_data["survivor"] or 0
        others = [pk for pk in form.cleaned_data["person"] if pk != survivor]
        if self.take(people.merge, survivor_id=survivor, other_ids=others) is None:
            return self.back()
        return HttpResponseRedirect(path_to("change", survivor))


class SuggestionsPage(PeoplePage):
    """Two at a time who may be one: yes, no, or later."""

    template_name = "admin/intelligence/knownperson/suggestions.html"
    title = "Are these the same?"

    def get_context_data(self, **context: Any) -> dict[str, Any]:
        put_off = self._put_off()
        suggested = suggestions.suggested_merges(PAIRS_SHOWN + len(put_off))
        open_ones = [each for each in suggested if [each.person.pk, each.other.pk] not in put_off]
        shown = open_ones[:PAIRS_SHOWN]
        everyone = {each.pk: each for pair in shown for each in (pair.person, pair.other)}
        walls = walls_of(list(everyone.values()), each=FACES_OF_A_PAIR)
        return super().get_context_data(
            pairs=[_side_by_side(pair, walls) for pair in shown],
            put_off=len(suggested) - len(open_ones),
            **context,
        )

    def post(self, request: HttpRequest) -> HttpResponseBase:
        if request.POST.get("answer") == "again":
            request.session.pop(LATER, None)
        elif form := self.asked(PairForm):
            self._answer(
                request.POST.get("answer", ""), form.cleaned_data["person"], form.cleaned_data["other"]
            )
        return self.back(path_to("suggestions"))

    def _answer(self, answer: str, person: int, other: int) -> None:
        if answer == "yes":
            self.take(people.merge, survivor_id=person, other_ids=[other])
        elif answer == "no":
            self.take(people.distinguish, person_id=person, other_id=other)
        elif answer == "later":
            self.request.session[LATER] = [*self._put_off(), sorted((person, other))][-MOST_PUT_OFF:]
        else:
            messages.error(self.request, "Say yes, no or later.")

    def _put_off(self) -> list[list[int]]:
        put_off: list[list[int]] = self.request.session.get(LATER, [])
        return put_off


def _side_by_side(pair: suggestions.MergeSuggestion, walls: Mapping[int, Wall]) -> dict[str, Any]:
    survivor = likely_survivor([pair.person, pair.other])
    other = pair.other if survivor is pair.person else pair.person
    return {"survivor": walls[survivor.pk], "other": walls[other.pk], "suggestion": pair}
