"""What a list of entities can be narrowed by."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django import forms
from django.core.validators import MaxValueValidator, MinValueValidator
from django_filters import CharFilter, Filter, FilterSet  # type: ignore[import-untyped]
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter
from rest_framework.request import Request

from entities import counting
from entities.api.serializers import EPOCH, MILLISECOND
from entities.api.validation import FALSE_WORDS, MAX_ID, TRUE_WORDS, InvalidRequestError
from entities.models import Entity, EntityCount, EntityQuerySet

LAST_MILLISECOND = (datetime.max.replace(tzinfo=EPOCH.tzinfo) - EPOCH) // MILLISECOND - 1


COUNTED = {"parent_id", "type", "is_collection", "exclude_deleted"}


class WordBooleanFormField(forms.Field):
    documented_as = OpenApiTypes.BOOL

    def to_python(self, value: Any) -> bool | None:
        word = str(value or "").lower()
        if word not in TRUE_WORDS | FALSE_WORDS | {""}:
            raise forms.ValidationError("Must be a valid boolean.", code="invalid")
        return (word in TRUE_WORDS) if word else None


class WholeNumberFormField(forms.IntegerField):
    """Of 64 bits, which every database can compare with."""

    documented_as = OpenApiTypes.INT64
    default_validators = [MinValueValidator(-MAX_ID), MaxValueValidator(MAX_ID)]


class MomentFormField(WholeNumberFormField):
    """Milliseconds since the epoch."""

    def clean(self, value: Any) -> datetime | None:
        number: int | None = super().clean(value)
        if number is None:
            return None
        return EPOCH + max(0, min(number, LAST_MILLISECOND)) * MILLISECOND


class WordBooleanFilter(Filter):  # type: ignore[misc]  # untyped package
    field_class = WordBooleanFormField


class WholeNumberFilter(Filter):  # type: ignore[misc]  # untyped package
    field_class = WholeNumberFormField


class MomentFilter(Filter):  # type: ignore[misc]  # untyped package
    field_class = MomentFormField


class EntityFilterSet(FilterSet):  # type: ignore[misc]  # untyped package
    """All that is given must hold. Empty means not given."""

    finds_many = False
    """Known once they are counted, for the search."""

    class Meta:
        model = Entity
        fields: list[str] = []

    md5 = CharFilter(help_text="Of the file's bytes, in lower-case hex.")
    mime_type = CharFilter(help_text="Such as image/jpeg.")
    type = CharFilter(help_text="text, image, video, audio or file.")
    width = WholeNumberFilter(help_text="Exactly, in pixels.")
    height = WholeNumberFilter(help_text="Exactly, in pixels.")
    file_size_min = WholeNumberFilter(
        field_name="file_size", lookup_expr="gte", help_text="Bytes, inclusive."
    )
    file_size_max = WholeNumberFilter(
        field_name="file_size", lookup_expr="lte", help_text="Bytes, inclusive."
    )
    date_from = MomentFilter(
        field_name="added_date", lookup_expr="gte", help_text="Added then or later; milliseconds since 1970."
    )
    date_to = MomentFilter(method="filter_until", help_text="Added then or earlier; milliseconds since 1970.")
    parent_id = WholeNumberFilter(
        method="filter_parent", help_text="Direct children; 0: those without a parent."
    )
    is_collection = WordBooleanFilter(help_text="Only collections, or only files.")
    exclude_deleted = WordBooleanFilter(
        method="filter_live", help_text="Leave the trash out; what lies below a deleted collection stays."
    )
    search_query = CharFilter(
        strip=False, method="filter_text", help_text="A part of the label or description, in any case."
    )

    def filter_until(self, entities: EntityQuerySet, _name: str, moment: datetime) -> EntityQuerySet:
        """Clients see milliseconds, so the whole of the last one counts."""
        return entities.filter(added_date__lt=moment + MILLISECOND)

    def filter_parent(self, entities: EntityQuerySet, _name: str, parent_id: int) -> EntityQuerySet:
        if parent_id == EntityCount.ROOT:
            return entities.filter(parent__isnull=True)
        return entities.filter(parent_id=parent_id)

    def filter_live(self, entities: EntityQuerySet, _name: str, exclude_deleted: bool) -> EntityQuerySet:  # noqa: FBT001  (the package's call)
        return entities.live() if exclude_deleted else entities

    def filter_text(self, entities: EntityQuerySet, _name: str, text: str) -> EntityQuerySet:
        return entities.search(text, many=self.finds_many)

    def given(self) -> dict[str, Any]:
        cleaned: dict[str, Any] = self.form.cleaned_data
        return {name: value for name, value in cleaned.items() if value not in {None, ""}}

    def narrow(self, entities: EntityQuerySet) -> EntityQuerySet:
        narrowed: EntityQuerySet = self.filter_queryset(entities)
        return narrowed

    def count(self) -> int:
        kind = _kind(self.given())
        return self.narrow(Entity.objects.all()).count() if kind is None else counting.count(kind)


FILTER_PARAMETERS = [
    OpenApiParameter(
        name,
        getattr(declared.field_class, "documented_as", OpenApiTypes.STR),
        description=declared.extra["help_text"],
    )
    for name, declared in EntityFilterSet.base_filters.items()
]


def _kind(given: dict[str, Any]) -> counting.Kind | None:
    """None where the filters ask for more than is kept count of."""
    parent_id = given.get("parent_id")
    if given.keys() - COUNTED or (parent_id is not None and parent_id < 0):
        return None
    return counting.Kind(
        parent_id=EntityCount.EVERYWHERE if parent_id is None else parent_id,
        type=given.get("type"),
        is_collection=given.get("is_collection"),
        is_deleted=False if given.get("exclude_deleted") else None,
    )


def valid_filters(request: Request) -> EntityFilterSet:
    filters = EntityFilterSet(request.query_params)
    if filters.is_valid():
        return filters
    raise InvalidRequestError(
        {
            "type": f"value_error.{error.code}",
            "loc": ["query", name],
            "msg": " ".join(error.messages),
            "input": request.query_params.get(name),
        }
        for name, errors in filters.errors.as_data().items()
        for error in errors
    )
