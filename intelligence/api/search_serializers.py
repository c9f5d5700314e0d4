"""What a search may ask, and what it answers."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from django.utils.datastructures import MultiValueDict
from rest_framework import serializers

from entities.api.serializers import EPOCH, MILLISECOND, EntitySerializer
from entities.api.validation import MAX_ID, InvalidRequestError
from entities.models import Entity
from intelligence.search import LONGEST_LIST, Narrowing, SearchHit

FIRST_MILLISECOND = (datetime.min.replace(tzinfo=UTC) - EPOCH) // MILLISECOND
LAST_MILLISECOND = (datetime.max.replace(tzinfo=UTC) - EPOCH) // MILLISECOND - 1
LONGEST_TEXT = 1000
MOST_PEOPLE = 10
SPACES = {"clip": ("clip",), "dino": ("dino",), "both": ("clip", "dino")}


class IdField(serializers.IntegerField):
    def __init__(self, **options: Any) -> None:
        super().__init__(min_value=0, max_value=MAX_ID, **options)


class IdsField(serializers.ListField):
    """One fault for all of them, as for any other parameter."""

    def run_child_validation(self, data: Any) -> Any:
        try:
            return super().run_child_validation(data)
        except serializers.ValidationError:
            raise serializers.ValidationError("Each must be a whole number from 0.", "invalid") from None


class MomentField(serializers.IntegerField):
    """Milliseconds since 1970, before it too; those that no calendar has are taken for its ends."""

    def to_internal_value(self, data: Any) -> Any:
        number = super().to_internal_value(data)
        return EPOCH + max(FIRST_MILLISECOND, min(number, LAST_MILLISECOND)) * MILLISECOND


class NarrowingSerializer(serializers.Serializer[Any]):
    space = serializers.ChoiceField(
        choices=list(SPACES),
        default="clip",
        help_text="clip: what it is about; dino: what it looks like; both: ranked by both together.",
    )
    parent_id = IdField(required=False, help_text="Anywhere below this collection.")
    date_from = MomentField(required=False, help_text="Taken then or later; milliseconds since 1970.")
    date_to = MomentField(required=False, help_text="Taken then or earlier; milliseconds since 1970.")
    type = serializers.ChoiceField(
        choices=Entity.MediaType.choices, required=False, help_text="Only images can be found by likeness."
    )
    mime_type = serializers.CharField(required=False, max_length=255, help_text="Such as image/jpeg.")
    person_id = IdsField(
        child=IdField(),
        required=False,
        max_length=MOST_PEOPLE,
        help_text="Given several times: all of these people on the one image.",
    )
    min_score = serializers.FloatField(
        required=False, min_value=0, max_value=1, help_text="The least cosine that counts, in each space."
    )
    page = serializers.IntegerField(
        min_value=1, max_value=LONGEST_LIST, default=1, help_text="One past the end is empty."
    )
    page_size = serializers.IntegerField(
        min_value=1, max_value=100, default=20, help_text="How many hits a page holds."
    )

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if attrs["page"] * attrs["page_size"] > LONGEST_LIST:
            hint = f"Only the best {LONGEST_LIST} hits can be paged through; narrow the search instead."
            raise serializers.ValidationError({"page": hint})
        return attrs


class SearchQuerySerializer(NarrowingSerializer):
    text = serializers.CharField(
        required=False, max_length=LONGEST_TEXT, help_text="What shall be on the image, in words."
    )
    entity = IdField(required=False, help_text="The image that others shall be like.")


class PictureQuerySerializer(NarrowingSerializer):
    """A picture that images shall be like. It is looked at, and not kept."""

    image = serializers.FileField(help_text="The picture, of at most 64 MiB, in any format of the store.")


class ReasonSerializer(serializers.Serializer[Any]):
    space = serializers.ChoiceField(choices=["clip", "dino"])
    model = serializers.CharField()
    cosine = serializers.FloatField(help_text="0..1.")
    rank = serializers.IntegerField(
        allow_null=True, help_text="In this space, from 1; null where it is not among the best of it."
    )


class SearchHitSerializer(serializers.Serializer[Any]):
    entity_id = serializers.IntegerField()
    score = serializers.FloatField(help_text="Cosine, 0..1; of two spaces the higher one.")
    fused = serializers.FloatField(
        allow_null=True,
        help_text="Of two spaces: the sum of 1 / (60 + rank), by which hits are ordered then.",
    )
    why = ReasonSerializer(many=True)
    entity = EntitySerializer()


class SearchPaginationSerializer(serializers.Serializer[Any]):
    page = serializers.IntegerField()
    page_size = serializers.IntegerField()
    has_next = serializers.BooleanField()
    has_prev = serializers.BooleanField()


class SearchPageSerializer(serializers.Serializer[Any]):
    results = SearchHitSerializer(many=True)
    pagination = SearchPaginationSerializer()


def without_empty(given: MultiValueDict[str, Any]) -> MultiValueDict[str, Any]:
    """As with lists of entities, empty means not given: so that forms can be sent as they are."""
    return MultiValueDict(
        {name: values for name, values in given.lists() if any(value != "" for value in values)}
    )


def narrowing_of(query: dict[str, Any]) -> Narrowing:
    until = query.get("date_to")
    return Narrowing(
        below=query.get("parent_id"),
        taken_from=query.get("date_from"),
        taken_before=None if until is None else until + MILLISECOND,  # the whole of the last one counts
        mime_type=query.get("mime_type"),
        people=tuple(query.get("person_id", ())),
    )


def require_one(query: dict[str, Any], *names: str) -> None:
    given = [name for name in names if name in query]
    if len(given) != 1:
        message = f"Give exactly one of {' and '.join(names)}; a picture is sent with POST."
        name = given[-1] if given else names[0]
        fault = {"type": "value_error.one_of", "loc": ["query", name], "msg": message, "input": None}
        raise InvalidRequestError([fault])


def require_clip(query: dict[str, Any]) -> None:
    if query["space"] != "clip":
        message = "Words can only be compared in the space clip: dino knows pictures alone."
        fault = {"type": "value_error.space", "loc": ["query", "space"], "msg": message}
        raise InvalidRequestError([fault | {"input": query["space"]}])


def hit_as_json(hit: SearchHit, entity: Any) -> dict[str, Any]:
    return {
        "entity_id": hit.entity.pk,
        "score": hit.score,
        "fused": hit.fused,
        "why": [
            {"space": each.space, "model": each.model, "cosine": each.cosine, "rank": each.rank}
            for each in hit.reasons
        ],
        "entity": entity,
    }
