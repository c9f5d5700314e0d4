"""Vectors on a Qdrant server, over REST or gRPC. The only file that knows qdrant_client."""

from __future__ import annotations

import math
import random
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from http import HTTPStatus
from typing import ParamSpec, Self, TypeVar

import grpc  # type: ignore[import-untyped]  # ships no types
import numpy as np
from qdrant_client import QdrantClient, models
from qdrant_client.common.client_exceptions import QdrantException
from qdrant_client.http.exceptions import ApiException, ResponseHandlingException, UnexpectedResponse

from vectors.collections import IndexType
from vectors.errors import CollectionGoneError, VectorStoreError, VectorsUnavailableError
from vectors.schemas import (
    Condition,
    DatetimeRange,
    Filter,
    HasId,
    Hit,
    Match,
    MatchAny,
    PayloadChange,
    Query,
    Range,
    Record,
    VectorPoint,
    VectorSettings,
)
from vectors.validation import plain

ATTEMPTS = 3
FIRST_PAUSE_SECONDS = 0.2

P = ParamSpec("P")
T = TypeVar("T")


class ServerEngine:
    """Tries again what may pass, since every request may be repeated without harm."""

    def __init__(self, client: QdrantClient) -> None:
        self._client = client
        self._ensured: set[str] = set()

    @classmethod
    def create(cls, settings: VectorSettings) -> Self:
        client = QdrantClient(
            url=settings.url,
            api_key=settings.api_key or None,
            prefer_grpc=settings.prefer_grpc,
            timeout=math.ceil(settings.timeout_seconds),
            check_compatibility=False,  # would call the server at once
        )
        return cls(client)

    def collections(self) -> Collection[str]:
        found = self._call(self._client.get_collections).collections
        return [each.name for each in found]

    def ensure(self, collection: str, *, dimension: int, indexes: Mapping[str, IndexType]) -> None:
        if collection in self._ensured:
            return
        if not self._exists(collection):
            self._make(collection, dimension)
        for key, kind in indexes.items():
            schema = models.PayloadSchemaType(kind)
            self._call(self._client.create_payload_index, collection, key, schema)
        self._ensured.add(collection)

    def drop(self, collection: str) -> None:
        self._call(self._client.delete_collection, collection)
        self._ensured.discard(collection)

    def alias_target(self, alias: str) -> str | None:
        found = self._call(self._client.get_aliases).aliases
        return next((each.collection_name for each in found if each.alias_name == alias), None)

    def point_alias(self, alias: str, collection: str) -> None:
        target = models.CreateAlias(collection_name=collection, alias_name=alias)
        steps: list[models.CreateAliasOperation | models.DeleteAliasOperation] = [
            models.CreateAliasOperation(create_alias=target)
        ]
        if self.alias_target(alias) is not None:
            steps.insert(0, models.DeleteAliasOperation(delete_alias=models.DeleteAlias(alias_name=alias)))
        self._call(self._client.update_collection_aliases, steps)

    def upsert(self, collection: str, points: Sequence[VectorPoint]) -> None:
        made = [
            models.PointStruct(id=point.id, vector=point.vector.tolist(), payload=dict(point.payload))
            for point in points
        ]
        self._call(self._client.upsert, collection, made, wait=True)

    def retrieve(self, collection: str, ids: Sequence[int]) -> list[VectorPoint]:
        found = self._call(
            self._client.retrieve, collection, ids=list(ids), with_payload=True, with_vectors=True
        )
        return [
            VectorPoint(_id(each), np.array(each.vector, dtype=np.float32), each.payload or {})
            for each in found
        ]

    def delete(self, collection: str, filter: Filter) -> None:
        self._call(self._client.delete, collection, points_selector=_filter(filter), wait=True)

    def set_payloads(self, collection: str, changes: Sequence[PayloadChange]) -> None:
        operations = [
            models.SetPayloadOperation(
                set_payload=models.SetPayload(payload=dict(each.payload), filter=_filter(each.filter))
            )
            for each in changes
        ]
        self._call(self._client.batch_update_points, collection, operations, wait=True)

    def search(
        self,
        collection: str,
        queries: Sequence[Query],
        *,
        limit: int,
        score_threshold: float | None,
        with_payload: bool = True,
    ) -> list[list[Hit]]:
        requests = [
            models.QueryRequest(
                query=each.vector.tolist(),
                filter=_filter(each.filter),
                limit=limit,
                score_threshold=score_threshold,
                with_payload=with_payload,
            )
            for each in queries
        ]
        answers = self._call(self._client.query_batch_points, collection, requests)
        return [[Hit(_id(hit), hit.score, hit.payload or {}) for hit in each.points] for each in answers]

    def scroll(
        self, collection: str, filter: Filter, *, limit: int, offset: int, with_payload: bool = True
    ) -> tuple[list[Record], int | None]:
        found, following = self._call(
            self._client.scroll,
            collection,
            scroll_filter=_filter(filter),
            limit=limit,
            offset=offset,
            with_payload=with_payload,
        )
        assert following is None or isinstance(following, int)
        return [Record(_id(each), each.payload or {}) for each in found], following

    def count(self, collection: str, filter: Filter) -> int:
        return self._call(self._client.count, collection, count_filter=_filter(filter), exact=True).count

    def close(self) -> None:
        self._client.close()

    def _exists(self, collection: str) -> bool:
        return self._call(self._client.collection_exists, collection)

    def _make(self, collection: str, dimension: int) -> None:
        vectors = models.VectorParams(size=dimension, distance=models.Distance.COSINE)
        try:
            self._call(self._client.create_collection, collection, vectors)
        except VectorStoreError:
            # Another process may have been faster, or a first attempt have done it unheard.
            if not self._exists(collection):
                raise

    def _call(self, call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        for attempt in range(ATTEMPTS):
            try:
                return call(*args, **kwargs)
            except (ApiException, QdrantException, grpc.RpcError) as error:
                self._after(error, attempt)
        raise AssertionError  # the last attempt has raised

    def _after(self, error: Exception, attempt: int) -> None:
        """Waits where another attempt may help; else raises."""
        if _is_not_found(error):
            self._ensured.clear()  # so that the next write makes what is missing
            raise CollectionGoneError(f"A collection is gone from the Qdrant server: {error}") from error
        if not _may_pass(error):
            raise VectorStoreError(f"The Qdrant server refused: {error}") from error
        if attempt == ATTEMPTS - 1:
            raise VectorsUnavailableError(f"The Qdrant server does not answer: {error!r}") from error
        time.sleep(FIRST_PAUSE_SECONDS * 2**attempt * random.uniform(0.5, 1.5))  # noqa: S311 - no secret


def _is_not_found(error: Exception) -> bool:
    if isinstance(error, UnexpectedResponse):
        return error.status_code == HTTPStatus.NOT_FOUND
    return isinstance(error, grpc.Call) and error.code() is grpc.StatusCode.NOT_FOUND


def _may_pass(error: Exception) -> bool:
    if isinstance(error, UnexpectedResponse):
        status = error.status_code or HTTPStatus.INTERNAL_SERVER_ERROR
        return status == HTTPStatus.TOO_MANY_REQUESTS or status >= HTTPStatus.INTERNAL_SERVER_ERROR
    if isinstance(error, grpc.Call):
        return error.code() in {
            grpc.StatusCode.UNAVAILABLE,
            grpc.StatusCode.DEADLINE_EXCEEDED,
            grpc.StatusCode.RESOURCE_EXHAUSTED,
        }
    return isinstance(error, (ResponseHandlingException, QdrantException))


def _filter(filter: Filter) -> models.Filter:
    must = [_condition(each) for each in filter.must]
    return models.Filter(must=[*must], must_not=[_condition(each) for each in filter.must_not])


def _condition(condition: Condition) -> models.FieldCondition | models.HasIdCondition:
    match condition:
        case Match(key, value):
            return models.FieldCondition(key=key, match=models.MatchValue(value=plain(value)))
        case MatchAny(key, values):
            return models.FieldCondition(key=key, match=models.MatchAny(any=plain(values)))
        case Range(key=key, gte=gte, gt=gt, lte=lte, lt=lt):
            return models.FieldCondition(key=key, range=models.Range(gte=gte, gt=gt, lte=lte, lt=lt))
        case DatetimeRange(key=key, gte=gte, gt=gt, lte=lte, lt=lt):
            bounds = models.DatetimeRange(gte=gte, gt=gt, lte=lte, lt=lt)
            return models.FieldCondition(key=key, range=bounds)
        case HasId(ids):
            return models.HasIdCondition(has_id=sorted(ids))


def _id(found: models.ScoredPoint | models.Record) -> int:
    assert isinstance(found.id, int)
    return found.id
