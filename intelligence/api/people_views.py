from __future__ import annotations

from typing import Any, ClassVar

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from entities.api.documentation import error
from entities.api.parsers import JSONParser
from entities.api.validation import validated
from intelligence import people
from intelligence.api import people_serializers as bodies
from intelligence.api.base import IntelligenceViewSet, caller, id_from
from intelligence.api.paging import PAGE_HEADERS, PageQuerySerializer, page_of
from intelligence.api.people_serializers import (
    KnownPersonSerializer,
    MergeSuggestionSerializer,
    OperationSerializer,
    WaitingFaceSerializer,
)
from intelligence.api.serializers import FaceSerializer, as_json
from intelligence.models import PeopleOperation
from intelligence.people import listing, suggestions

DONE = {200: OperationSerializer, 404: error("There is no such face, or no such person.")}
LEAST_FACES = 2
"""Of somebody without a name, to be worth a place on a page."""


class PeopleViewSet(IntelligenceViewSet):
    """Each decision is an operation, which can be undone."""

    parser_classes = (JSONParser,)
    body_of: ClassVar[dict[str, type[serializers.Serializer[Any]]]] = {}

    def get_serializer(self, *arguments: Any, **options: Any) -> serializers.Serializer[Any]:
        """Of the browser's form, also where it only asks what it could send."""
        asked = self.action if self.action in self.body_of else self.action_map["post"]
        return self.body_of.get(asked, serializers.Serializer)(*arguments, **options)

    def body(self) -> dict[str, Any]:
        given = self.request.data if isinstance(self.request.data, dict) else {}
        return validated(self.body_of[self.action](data=given), "body")

    @property
    def by(self) -> str | None:
        return caller(self.request).store_id


def _done(operation: PeopleOperation) -> Response:
    return Response(OperationSerializer(operation).data)


def _person_id(text: str) -> int:
    return id_from(text, of="Known person")


class KnownPersonViewSet(PeopleViewSet):
    """People are found on images, not made by requests; who is who, and what they are called, users say."""

    body_of: ClassVar[dict[str, type[serializers.Serializer[Any]]]] = {
        "rename": bodies.PersonNameSerializer,
        "merge": bodies.MergeSerializer,
        "split": bodies.SplitSerializer,
        "distinguish": bodies.OtherPersonSerializer,
        "hide": bodies.HiddenSerializer,
        "cover": bodies.CoverSerializer,
    }

    @extend_schema(
        summary="List the people",
        parameters=[bodies.PeopleQuerySerializer, *PAGE_HEADERS],
        responses=KnownPersonSerializer(many=True),
    )
    def list(self, request: Request) -> Response:
        """Whoever was found on images, named or not, with the number of their faces. All of them, unless a
        page is asked for; a page leaves out who has no name and one face only, unless `min_faces` says more.
        """
        query = validated(bodies.PeopleQuerySerializer(data=request.query_params), "query")
        found = listing.find_people(
            search=query["search"],
            named=query["named"],
            min_faces=query.get("min_faces", LEAST_FACES if "page" in query else 0),
            with_hidden=query["include_hidden"],
            order=query["order"],
        )
        rows = KnownPersonSerializer()
        return page_of(request, query, rows.plain(found), rows.to_representation, first=None)

    @extend_schema(summary="Show a person", responses=KnownPersonSerializer)
    def retrieve(self, request: Request, person_id: str) -> Response:
        """Also one who is hidden."""
        return Response(KnownPersonSerializer(self.retrieval.person(_person_id(person_id))).data)

    @extend_schema(
        summary="Name a person", request=bodies.PersonNameSerializer, responses=KnownPersonSerializer
    )
    def rename(self, request: Request, person_id: str) -> Response:
        """A name, or a better one."""
        pk = _person_id(person_id)
        people.rename(person_id=pk, name=self.body()["name"], by=self.by)
        return Response(KnownPersonSerializer(self.retrieval.person(pk)).data)

    @extend_schema(
        summary="List the faces of a person",
        parameters=[bodies.PersonFacesQuerySerializer, *PAGE_HEADERS],
        responses=FaceSerializer(many=True),
    )
    def faces(self, request: Request, person_id: str) -> Response:
        """From all images that are not in the trash. All of them, unless a page is asked for."""
        query = validated(bodies.PersonFacesQuerySerializer(data=request.query_params), "query")
        found = self.retrieval.faces_of_person(_person_id(person_id), by_doubt=query["order"] == "doubt")
        rows = FaceSerializer()
        return page_of(request, query, rows.plain(found), rows.to_representation, first=None)

    @extend_schema(summary="Merge people", request=bodies.MergeSerializer, responses=DONE)
    def merge(self, request: Request) -> Response:
        """They are all the same person. One stays, with all faces and, if need be, another's name. What was
        decided about the others holds for the one who stays.
        """
        body = self.body()
        return _done(people.merge(survivor_id=body["survivor_id"], other_ids=body["other_ids"], by=self.by))

    @extend_schema(summary="Split a person", request=bodies.SplitSerializer, responses=DONE)
    def split(self, request: Request, person_id: str) -> Response:
        """Some of the faces are somebody else, who is new. The machine never joins the two again."""
        return _done(people.split(person_id=_person_id(person_id), by=self.by, **self.body()))

    @extend_schema(summary="Tell two people apart", request=bodies.OtherPersonSerializer, responses=DONE)
    def distinguish(self, request: Request, person_id: str) -> Response:
        """They are not the same person: the machine never joins them, and suggests it no more."""
        pk = _person_id(person_id)
        return _done(people.distinguish(person_id=pk, other_id=self.body()["other_id"], by=self.by))

    @extend_schema(summary="Hide or show a person", request=bodies.HiddenSerializer, responses=DONE)
    def hide(self, request: Request, person_id: str) -> Response:
        """Who is hidden is still recognised, but left out of lists."""
        pk = _person_id(person_id)
        return _done(people.set_hidden(person_id=pk, hidden=self.body()["hidden"], by=self.by))

    @extend_schema(summary="Choose a person's cover", request=bodies.CoverSerializer, responses=DONE)
    def cover(self, request: Request, person_id: str) -> Response:
        """The face that stands for the person."""
        pk = _person_id(person_id)
        return _done(people.set_cover(person_id=pk, face_id=self.body()["face_id"], by=self.by))

    @extend_schema(
        summary="List people who may be the same",
        parameters=[bodies.SuggestionsQuerySerializer],
        responses=MergeSuggestionSerializer(many=True),
    )
    def suggested_merges(self, request: Request) -> Response:
        """Those that most faces speak for first. Never two who were seen on one photo, or were told apart."""
        query = validated(bodies.SuggestionsQuerySerializer(data=request.query_params), "query")
        return Response(as_json(MergeSuggestionSerializer(), suggestions.suggested_merges(query["limit"])))


class OperationViewSet(PeopleViewSet):
    """What was done with people."""

    @extend_schema(
        summary="List what was done with people",
        parameters=[bodies.OperationsQuerySerializer, *PAGE_HEADERS],
        responses=OperationSerializer(many=True),
    )
    def list(self, request: Request) -> Response:
        """By users and the re-clustering, the newest first. The first page, unless another is asked for."""
        query = validated(bodies.OperationsQuerySerializer(data=request.query_params), "query")
        found = listing.operations(query.get("person_id"))
        return page_of(request, query, found, OperationSerializer().to_representation)

    @extend_schema(
        summary="Undo an operation",
        request=None,
        responses={
            200: OperationSerializer,
            404: error("There is no such operation."),
            409: error("Something that came later stands in the way; the text says what to undo first."),
        },
    )
    def undo(self, request: Request, operation_id: str) -> Response:
        """Every fact becomes exactly what it was: faces, people with their ids, names and decisions."""
        pk = id_from(operation_id, of="Operation")
        return _done(people.undo(operation_id=pk, by=self.by))


class DecisionViewSet(PeopleViewSet):
    """What users say about faces."""

    body_of: ClassVar[dict[str, type[serializers.Serializer[Any]]]] = {
        "confirm": bodies.FacesSerializer,
        "reject": bodies.RejectionSerializer,
        "assign": bodies.AssignmentSerializer,
    }

    @extend_schema(summary="Confirm faces", request=bodies.FacesSerializer, responses=DONE)
    def confirm(self, request: Request) -> Response:
        """They are who they are taken for; no machine step moves them from now on."""
        return _done(people.confirm(by=self.by, **self.body()))

    @extend_schema(summary="Reject faces", request=bodies.RejectionSerializer, responses=DONE)
    def reject(self, request: Request) -> Response:
        """They are not this person, and the machine never says so again."""
        return _done(people.reject(by=self.by, **self.body()))

    @extend_schema(summary="Assign faces", request=bodies.AssignmentSerializer, responses=DONE)
    def assign(self, request: Request) -> Response:
        """They are this person, whoever they were taken for; or somebody new, with or without a name."""
        return _done(people.assign(by=self.by, **self.body()))

    @extend_schema(
        summary="List faces that wait for a decision",
        parameters=[PageQuerySerializer, *PAGE_HEADERS],
        responses=WaitingFaceSerializer(many=True),
    )
    def waiting(self, request: Request) -> Response:
        """Those that are closest to somebody first, each with that person. The first page, unless another is
        asked for.
        """
        query = validated(PageQuerySerializer(data=request.query_params), "query")
        as_item = WaitingFaceSerializer().to_representation
        return page_of(request, query, listing.waiting_faces(), as_item)
