from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from entities.api.parsers import JSONParser
from entities.api.validation import validated
from intelligence import people
from intelligence.api.base import IntelligenceViewSet, caller, id_from
from intelligence.api.serializers import (
    FaceSerializer,
    KnownPersonSerializer,
    PeopleQuerySerializer,
    PersonNameSerializer,
    as_json,
)


class KnownPersonViewSet(IntelligenceViewSet):
    """People are found on images, never made by a request; they can be named."""

    parser_classes = (JSONParser,)

    def get_serializer(self, *arguments: Any, **options: Any) -> PersonNameSerializer:
        """Of the browser's form."""
        return PersonNameSerializer(*arguments, **options)

    @extend_schema(
        summary="List the people",
        parameters=[PeopleQuerySerializer],
        responses=KnownPersonSerializer(many=True),
    )
    def list(self, request: Request) -> Response:
        """Whoever was found on images, named or not, with the number of their faces."""
        query = validated(PeopleQuerySerializer(data=request.query_params), "query")
        found = self.retrieval.people(with_hidden=query["include_hidden"])
        return Response(as_json(KnownPersonSerializer(), found))

    @extend_schema(summary="Show a person", responses=KnownPersonSerializer)
    def retrieve(self, request: Request, person_id: str) -> Response:
        """Also one who is hidden."""
        return Response(KnownPersonSerializer(self.retrieval.person(_id(person_id))).data)

    @extend_schema(summary="Name a person", request=PersonNameSerializer, responses=KnownPersonSerializer)
    def rename(self, request: Request, person_id: str) -> Response:
        """A name, or a better one."""
        pk = _id(person_id)
        given = request.data if isinstance(request.data, dict) else {}
        body = validated(PersonNameSerializer(data=given), "body")
        people.rename(person_id=pk, name=body["name"], by=caller(request).store_id)
        return Response(KnownPersonSerializer(self.retrieval.person(pk)).data)

    @extend_schema(summary="List the faces of a person", responses=FaceSerializer(many=True))
    def faces(self, request: Request, person_id: str) -> Response:
        """From all images."""
        return Response(as_json(FaceSerializer(), self.retrieval.faces_of_person(_id(person_id))))


def _id(text: str) -> int:
    return id_from(text, of="Known person")
