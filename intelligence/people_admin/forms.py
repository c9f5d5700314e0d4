"""What the pages of people may be asked for."""

from __future__ import annotations

from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.db.models import QuerySet

from intelligence.models import KnownPerson
from intelligence.people import listing
from intelligence.people.lookup import MOST_FACES

MAX_ID_DIGITS = 18
"""As many nines fit into every database's integers."""
LEAST_FACES = 2
"""Of somebody without a name, to be worth a place on the wall."""
MOST_PEOPLE = 50
"""On one page of a merge."""

NAME_LENGTH = KnownPerson._meta.get_field("name").max_length  # noqa: SLF001  (Django's documented name)


class IdsField(forms.Field):
    """Any number of ids under one name."""

    widget = forms.MultipleHiddenInput

    def __init__(self, *, most: int, **options: Any) -> None:
        self.most = most
        super().__init__(**options)

    def to_python(self, value: Any) -> list[int]:
        given: list[str] = value or []
        if not all(text.isdecimal() and len(text) <= MAX_ID_DIGITS for text in given):
            raise ValidationError("These are no ids; choose on the page.")
        if len(given) > self.most:
            raise ValidationError(f"These are more than {self.most}; take some at a time.")
        return list(dict.fromkeys(map(int, given)))


def id_field(**options: Any) -> forms.IntegerField:
    return forms.IntegerField(min_value=1, max_value=10**MAX_ID_DIGITS, **options)


def faces_field() -> IdsField:
    return IdsField(most=MOST_FACES, error_messages={"required": "Choose at least one face."})


def name_field() -> forms.CharField:
    return forms.CharField(max_length=NAME_LENGTH, required=False)


class WallForm(forms.Form):
    q = forms.CharField(
        label="Name", max_length=NAME_LENGTH, required=False, widget=forms.TextInput({"type": "search"})
    )
    who = forms.ChoiceField(
        label="Show",
        choices=[("", "everybody"), ("named", "with a name"), ("unnamed", "without")],
        required=False,
    )
    order = forms.ChoiceField(
        label="Order",
        choices=[("faces", "most faces first"), ("name", "by name"), ("id", "oldest first")],
        required=False,
    )
    hidden = forms.BooleanField(label="Also hidden people", required=False)
    single = forms.BooleanField(label="Also one-face people without a name", required=False)

    def people(self) -> QuerySet[KnownPerson]:
        """What makes no sense is left out of account."""
        asked = self.cleaned_data if self.is_valid() else {}
        who = asked.get("who")
        return listing.find_people(
            search=asked.get("q", ""),
            named=who == "named" if who else None,
            min_faces=0 if asked.get("single") else LEAST_FACES,
            with_hidden=bool(asked.get("hidden")),
            order=asked.get("order") or "faces",
        )


class NameForm(forms.Form):
    name = name_field()


class HiddenForm(forms.Form):
    hidden = forms.BooleanField(required=False)


class FacesForm(forms.Form):
    face = faces_field()


class NewPersonForm(FacesForm):
    name = name_field()


class CoverForm(FacesForm):
    def clean_face(self) -> list[int]:
        faces: list[int] = self.cleaned_data["face"]
        if len(faces) != 1:
            raise ValidationError("Choose one face to be the cover.")
        return faces


class MoveForm(FacesForm):
    q = name_field()


class AssignmentForm(NewPersonForm):
    person = id_field(required=False)


class PeopleForm(forms.Form):
    person = IdsField(most=MOST_PEOPLE, error_messages={"required": "Choose at least two people."})
    survivor = id_field(required=False)

    def clean_person(self) -> list[int]:
        people: list[int] = self.cleaned_data["person"]
        if len(people) < 2:  # noqa: PLR2004  (a pair)
            raise ValidationError("Choose at least two people.")
        return people


class PairForm(forms.Form):
    person = id_field()
    other = id_field()


class ProposalForm(FacesForm):
    person = id_field()


class OperationForm(forms.Form):
    operation = id_field()
