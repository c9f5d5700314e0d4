from __future__ import annotations

from typing import Any

from django.http import HttpResponse
from django.http.response import HttpResponseBase
from drf_spectacular.utils import extend_schema
from rest_framework import status
from rest_framework.request import Request
from rest_framework.response import Response

from entities.api.documentation import VECTORS_AWAY, error, file_of
from entities.api.files import file_response
from entities.api.validation import validated
from entities.storage import EntityStorageService
from intelligence import faces
from intelligence.api.base import IntelligenceViewSet, caller, id_from
from intelligence.api.embeddings import NPY, npy_response
from intelligence.api.people_serializers import ReasonsSerializer
from intelligence.api.serializers import (
    FaceMatchSerializer,
    FaceSerializer,
    SimilarFacesQuerySerializer,
    SimilarFacesSerializer,
    as_json,
)
from intelligence.models import Face
from intelligence.people import reasons
from intelligence.retrieval import NotFoundError, SimilarFace
from vectors import get_face_store


class FaceViewSet(IntelligenceViewSet):
    """A face on an image."""

    @extend_schema(summary="Remove a face", responses={204: None, **VECTORS_AWAY})
    def destroy(self, request: Request, face_id: str) -> Response:
        """The face, its crop and its embedding. The image stays, and the face is not found on it again."""
        pk = _id(face_id)
        storage = EntityStorageService.from_settings()
        try:
            faces.remove(face_id=pk, storage=storage, store=get_face_store(), by=caller(request).store_id)
        except Face.DoesNotExist:
            raise NotFoundError("Face not found") from None
        return Response(status=status.HTTP_204_NO_CONTENT)

    @extend_schema(summary="Download a face's embedding", responses=NPY)
    def embedding(self, request: Request, face_id: str) -> HttpResponse:
        """A vector of length 1, as a file of NumPy."""
        pk = _id(face_id)
        vector = self.retrieval.embedding_of_face(pk, get_face_store())
        return npy_response(vector, name=f"face_{pk}_embedding")

    @extend_schema(summary="Show a face", responses=file_of("image/png", "Square, the eyes on one level."))
    def crop(self, request: Request, face_id: str) -> HttpResponseBase:
        """The face, cut out and turned upright."""
        pk = _id(face_id)
        path = self.retrieval.crop_of(pk, EntityStorageService.from_settings())
        # A crop is written once, and no id is used twice.
        return file_response(request, path, mime_type="image/png", name=f"face_{pk}.png", etag=f"face-{pk}")

    @extend_schema(
        summary="List faces like this one",
        parameters=[SimilarFacesQuerySerializer],
        responses={
            200: SimilarFacesSerializer,
            404: error("There is no such face, it has no embedding yet, or no other is like it."),
            **VECTORS_AWAY,
        },
    )
    def similar(self, request: Request, face_id: str) -> Response:
        """The most alike first, without the face itself and without the trash."""
        pk = _id(face_id)
        query = validated(SimilarFacesQuerySerializer(data=request.query_params), "query")
        found = self.retrieval.similar_faces(
            pk, store=get_face_store(), limit=query["limit"], threshold=query["threshold"]
        )
        return Response({"query_face_id": pk, "results": [_similar_face(hit) for hit in found]})

    @extend_schema(summary="Say why a face has its person", responses=ReasonsSerializer)
    def why(self, request: Request, face_id: str) -> Response:
        """The rule in words, what it went by, and what users have said."""
        return Response(ReasonsSerializer(reasons.why(self.retrieval.face(_id(face_id)))).data)

    @extend_schema(summary="List what a face was found to be like", responses=FaceMatchSerializer(many=True))
    def matches(self, request: Request, face_id: str) -> Response:
        """The faces that it was found to be like when it was given to its person, the most alike first."""
        return Response(as_json(FaceMatchSerializer(), self.retrieval.matches_of(_id(face_id))))


def _id(text: str) -> int:
    return id_from(text, of="Face")


def _similar_face(hit: SimilarFace) -> dict[str, Any]:
    return {
        "face_id": hit.face.pk,
        "score": hit.score,
        "known_person_id": hit.face.known_person_id,
        "face": FaceSerializer(hit.face).data,
    }
