"""What is said of people, their faces and operations, and what requests may ask of them."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers

from entities.api.serializers import MillisecondsField
from entities.api.validation import MAX_ID, WordBooleanField
from intelligence.api.paging import PageQuerySerializer
from intelligence.api.serializers import FaceSerializer, RowSerializer, TextField
from intelligence.models import FaceDecision, FaceMatch, KnownPerson, PeopleOperation
from intelligence.people.listing import ORDERS
from intelligence.people.lookup import MOST_FACES

MANY_PEOPLE = 1000


class KnownPersonSerializer(RowSerializer[KnownPerson]):
    id = serializers.IntegerField()
    name = serializers.CharField(allow_null=True)
    hidden = serializers.BooleanField()
    cover_face_id = serializers.IntegerField(
        source="shown_cover_id", allow_null=True, help_text="The chosen one, or else the best."
    )
    created_at = MillisecondsField()
    updated_at = MillisecondsField()
    face_count = serializers.IntegerField(help_text="Without faces in the trash.")


class OperationSerializer(serializers.Serializer[PeopleOperation]):
    id = serializers.IntegerField(
        source="pk", allow_null=True, help_text="To undo it by; null: all was so already."
    )
    kind = serializers.CharField()
    summary = serializers.CharField()
    people = serializers.ListField(
        child=serializers.IntegerField(), help_text="Whom it concerns; who stays, or is new, comes first."
    )
    by = serializers.CharField(allow_null=True)
    at = MillisecondsField(allow_null=True)
    undoes = serializers.IntegerField(source="undoes_id", allow_null=True)
    undone_in = serializers.SerializerMethodField(help_text="The operation that took it back.")

    def get_undone_in(self, operation: PeopleOperation) -> int | None:
        undone: PeopleOperation | None = getattr(operation, "undone_in", None)
        return None if undone is None else undone.pk


class WaitingFaceSerializer(FaceSerializer):
    suggested_person_id = serializers.IntegerField(
        allow_null=True, help_text="Who is closest, and was not ruled out."
    )
    similarity = serializers.FloatField(source="closeness", allow_null=True, help_text="Cosine.")


class MergeSuggestionSerializer(serializers.Serializer[Any]):
    person = KnownPersonSerializer()
    other = KnownPersonSerializer()
    faces = serializers.IntegerField(
        help_text="Pairs of faces that are as alike as faces of one person, among the closest."
    )
    closest = serializers.FloatField(help_text="Cosine.")
    mean = serializers.FloatField(help_text="Cosine.")


class EvidenceSerializer(serializers.Serializer[FaceMatch]):
    face_id = serializers.IntegerField(source="matched_face_id")
    known_person_id = serializers.IntegerField(
        source="matched_face.known_person_id", allow_null=True, help_text="Whose it is now."
    )
    similarity = serializers.FloatField(help_text="Cosine.")
    threshold = serializers.FloatField(help_text="The least that counted, for crops as poor as these.")
    rule = serializers.CharField(help_text="core: it spoke for the person; another: for another; silent.")
    created_at = MillisecondsField()


class DecisionSerializer(serializers.Serializer[FaceDecision]):
    person_id = serializers.IntegerField()
    by = serializers.CharField(source="decided_by", allow_null=True)
    at = MillisecondsField(source="decided_at")


class ReasonsSerializer(serializers.Serializer[Any]):
    face_id = serializers.IntegerField(source="face.pk")
    known_person_id = serializers.IntegerField(source="face.known_person_id", allow_null=True)
    assigned_by = serializers.CharField(source="face.assigned_by", allow_null=True)
    standing = serializers.CharField(
        source="face.standing",
        allow_null=True,
        help_text="core: it speaks for its person; following: it does not; waiting: it has none yet.",
    )
    rule = serializers.CharField(help_text="In words.")
    model = serializers.CharField(allow_null=True)
    same_person_from = serializers.FloatField(
        allow_null=True, help_text="The model's own threshold; null: it recognises nobody, or has not told."
    )
    quality = serializers.FloatField(source="face.quality")
    needed = serializers.FloatField(
        allow_null=True, help_text="The least cosine with a good crop that counts, at this quality."
    )
    neighbours = EvidenceSerializer(source="matches", many=True)
    confirmed = DecisionSerializer(allow_null=True)
    ruled_out = DecisionSerializer(many=True)


# --- What requests may ask ---


class PeopleQuerySerializer(PageQuerySerializer):
    include_hidden = WordBooleanField(default=False, help_text="Also those that a user has hidden.")
    search = serializers.CharField(default="", allow_blank=True, help_text="A part of the name.")
    named = WordBooleanField(
        default=None, allow_null=True, help_text="Only those with a name, or only those without."
    )
    min_faces = serializers.IntegerField(
        min_value=0,
        max_value=MAX_ID,
        required=False,
        help_text="Of those without a name: 2 where a page is asked for, else 0, as older clients expect.",
    )
    order = serializers.ChoiceField(
        choices=list(ORDERS), default="id", help_text="By id, by name, or most faces first."
    )


class PersonFacesQuerySerializer(PageQuerySerializer):
    order = serializers.ChoiceField(
        choices=["id", "doubt"], default="id", help_text="doubt: the least certain first."
    )


class OperationsQuerySerializer(PageQuerySerializer):
    person_id = serializers.IntegerField(
        min_value=0, max_value=MAX_ID, required=False, help_text="Only what concerns this person."
    )


class SuggestionsQuerySerializer(serializers.Serializer[Any]):
    limit = serializers.IntegerField(min_value=1, max_value=200, default=50, help_text="How many at most.")


def ids_field(help_text: str, most: int = MOST_FACES) -> serializers.ListField:
    child = serializers.IntegerField(min_value=0, max_value=MAX_ID)
    return serializers.ListField(child=child, min_length=1, max_length=most, help_text=help_text)


class PersonNameSerializer(serializers.Serializer[Any]):
    name = TextField(max_length=255, help_text="What to call the person.")


class NewNameSerializer(serializers.Serializer[Any]):
    name = TextField(
        max_length=255, required=False, allow_null=True, default=None, help_text="Of somebody new."
    )


class FacesSerializer(serializers.Serializer[Any]):
    face_ids = ids_field("The faces.")


class RejectionSerializer(FacesSerializer):
    person_id = serializers.IntegerField(
        min_value=0,
        max_value=MAX_ID,
        required=False,
        allow_null=True,
        default=None,
        help_text="Whom they are not; without it, those whom they are taken for.",
    )


class AssignmentSerializer(FacesSerializer, NewNameSerializer):
    person_id = serializers.IntegerField(
        min_value=0,
        max_value=MAX_ID,
        required=False,
        allow_null=True,
        default=None,
        help_text="Who they are; without it, somebody new.",
    )


class SplitSerializer(FacesSerializer, NewNameSerializer):
    pass


class MergeSerializer(serializers.Serializer[Any]):
    survivor_id = serializers.IntegerField(min_value=0, max_value=MAX_ID, help_text="Who stays.")
    other_ids = ids_field("Who is the same person, and goes.", MANY_PEOPLE)


class OtherPersonSerializer(serializers.Serializer[Any]):
    other_id = serializers.IntegerField(min_value=0, max_value=MAX_ID, help_text="Who is somebody else.")


class HiddenSerializer(serializers.Serializer[Any]):
    hidden = WordBooleanField(help_text="Whether lists leave the person out.")


class CoverSerializer(serializers.Serializer[Any]):
    face_id = serializers.IntegerField(
        min_value=0, max_value=MAX_ID, allow_null=True, help_text="One of theirs; null: the best one."
    )
