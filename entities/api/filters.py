"""What a list of entities can be narrowed by."""

from __future__ import annotations

from collections.abc import Collection
from copy import copy
from datetime import datetime
from typing import Any

from django import forms
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db.models import F
from django_filters import CharFilter, Filter, FilterSet  # type: ignore[import-untyped]
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter
from rest_framework.request import Request

from entities import counting, searching
from entities.api.serializers import EPOCH, MILLISECOND
from entities.api.validation import FALSE_WORDS, MAX_ID, TRUE_WORDS, InvalidRequestError
from entities.columns import Unindexed
from entities.models import Entity, EntityQuerySet

LAST_MILLISECOND = (datetime.max.replace(tzinfo=EPOCH.tzinfo) - EPOCH) // MILLISECOND - 1

COUNTED = {"parent_id", "type", "mime_type", "is_collection", "exclude_deleted"}


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


class UntilFilter(MomentFilter):
    """Clients see milliseconds, so the whole of the last one counts."""

    def filter(self, entities: EntityQuerySet, moment: datetime) -> EntityQuerySet:
        return entities.filter(**{f"{self.field_name}__lt": moment + MILLISECOND})


class ParentFilter(WholeNumberFilter):
    def filter(self, entities: EntityQuerySet, parent_id: int) -> EntityQuerySet:
        if parent_id == counting.ROOT:
            return entities.filter(**{f"{self.field_name}__isnull": True})
        return entities.filter(**{self.field_name: parent_id})


class LiveFilter(WordBooleanFilter):
    def filter(self, entities: EntityQuerySet, exclude_deleted: bool) -> EntityQuerySet:  # noqa: FBT001  (the package's call)
        return entities.live() if exclude_deleted else entities


class TextFilter(CharFilter):  # type: ignore[misc]  # untyped package
    ids: tuple[int, int] | None = None
    """The first and last id that matter."""

    def filter(self, entities: EntityQuerySet, text: str) -> EntityQuerySet:
        return entities.filter(searching.condition(text, column=F(self.field_name), ids=self.ids))


class EntityFilterSet(FilterSet):  # type: ignore[misc]  # untyped package
    """All that is given must hold. Empty means not given."""

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
    date_to = UntilFilter(
        field_name="added_date", help_text="Added then or earlier; milliseconds since 1970."
    )
    parent_id = ParentFilter(field_name="parent", help_text="Direct children; 0: those without a parent.")
    is_collection = WordBooleanFilter(help_text="Only collections, or only files.")
    exclude_deleted = LiveFilter(
        field_name="is_deleted", help_text="Leave the trash out; what lies below a deleted collection stays."
    )
    search_query = TextFilter(
        field_name="id", strip=False, help_text="A part of the label or description, in any case."
    )

    def given(self) -> dict[str, Any]:
        cleaned: dict[str, Any] = self.form.cleaned_data
        return {name: value for name, value in cleaned.items() if value not in {None, ""}}

    def narrow(
        self,
        names: Collection[str] | None = None,
        *,
        without_index: Collection[str] = (),
        ids: tuple[int, int] | None = None,
    ) -> EntityQuerySet:
        """By the filters of these names, or by all. `without_index` are those whose indexes are not to be
        chosen; `ids`, the first and last that matter, spare a search the rest.
        """
        plain = {self.filters[name].field_name for name in without_index}
        entities = Entity.objects.alias(**{f"plain_{field}": Unindexed(field) for field in plain})
        for name, value in self.given().items():
            if names is None or name in names:
                entities = self._condition(name, name in without_index, ids).filter(entities, value)
        return entities

    def _condition(self, name: str, is_plain: bool, ids: tuple[int, int] | None) -> Filter:  # noqa: FBT001
        condition = copy(self.filters[name])
        if is_plain:
            condition.field_name = f"plain_{condition.field_name}"
        if isinstance(condition, TextFilter):
            condition.ids = ids
        return condition

    def counted(self, names: Collection[str] | None = None) -> int | None:
        """How many these filters leave, or all, where that is known without looking for them."""
        given = {name: value for name, value in self.given().items() if names is None or name in names}
        parent_id = given.get("parent_id")
        if given.keys() - COUNTED or (parent_id is not None and (parent_id < 0 or "mime_type" in given)):
            return None
        return counting.count_visible(
            counting.Kind(
                parent_id=parent_id,
                type=given.get("type"),
                mime_type=given.get("mime_type"),
                is_collection=given.get("is_collection"),
                is_deleted=False if given.get("exclude_deleted") else None,
            )
        )


FILTER_PARAMETERS = [
    OpenApiParameter(
        name,
        getattr(declared.field_class, "documented_as", OpenApiTypes.STR),
        description=declared.extra["help_text"],
    )
    for name, declared in EntityFilterSet.base_filters.items()
]


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
