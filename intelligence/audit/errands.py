"""The parts of an audit that only a worker can do: it has the vectors open, the models, and the spool.

Each is an errand: arguments and answers are what JSON can say, and one looks at a span of ids, not at all.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from django.db import transaction

from entities.models import Entity
from entities.versions import History
from intelligence import disagreements, model_versions, rows
from intelligence.compute.local import SpoolComputeClient
from intelligence.disagreements import Span
from intelligence.models import Face, ImageIntelligence, ModelVersion
from intelligence.vocabulary import Priority, TaskType
from vectors import QdrantVectorStore

if TYPE_CHECKING:  # processing is what errands are given
    from intelligence.processing import IntelligenceProcessingService

Arguments = Mapping[str, Any]

SPOOL_KEPT = timedelta(hours=1)
"""Longer than anybody takes from handing a job in to writing that down."""


# --- Vectors ---


def look(processing: IntelligenceProcessingService, arguments: Arguments) -> dict[str, Any]:
    """The next span of a model's vectors; `after` None begins. Looked at twice: what changed in between was
    on its way.
    """
    version = model_versions.kept().get(pk=arguments["version"])
    found = processing.audit.look(version, arguments["after"])
    store = processing.audit.store_of(version)
    settled_before = datetime.fromisoformat(arguments["settled_before"])
    return {
        "lost": _still_lost(version, found.lost, store),
        "orphans": _still_orphans(version, found.orphans, store, settled_before),
        "last": found.last,
    }


def versions(processing: IntelligenceProcessingService, _arguments: Arguments) -> list[dict[str, Any]]:
    processing.audit.models.wanted()  # writes them down where nobody has yet
    names = processing.audit.store_of
    return [
        {"id": version.pk, "model": version.model, "collection": names(version).name}
        for version in model_versions.kept()
    ]


def _still_lost(version: ModelVersion, lost: Iterable[int], store: QdrantVectorStore) -> list[int]:
    expected = model_versions.done(version).filter(pk__in=list(lost))
    wanted = sorted(expected.values_list("pk", flat=True))
    there = store.fetch(wanted, model=version.model)
    return [pk for pk in wanted if pk not in there]


def _still_orphans(
    version: ModelVersion, orphans: Iterable[int], store: QdrantVectorStore, settled_before: datetime
) -> list[int]:
    """Of an entity that was removed a moment ago they are about to go."""
    points = store.fetch_points(orphans, model=version.model)
    owners = {pk: int(point.payload.get("entity_id", pk)) for pk, point in points.items()}
    removed = History.objects.filter(
        id__in=set(owners.values()), history_type="-", history_date__gte=settled_before
    )
    lately = set(removed.values_list("id", flat=True))
    return sorted(pk for pk, entity_id in owners.items() if entity_id not in lately)


def mend(processing: IntelligenceProcessingService, arguments: Arguments) -> list[int]:
    """Asks again for what is lost, removes what has no owner; answers which of them were."""
    version = model_versions.kept().get(pk=arguments["version"])
    store = processing.audit.store_of(version)
    lost = _still_lost(version, arguments.get("lost", ()), store)
    processing.audit.ask_again(version, tuple(lost))
    removed = [pk for pk in arguments.get("orphans", ()) if _remove_orphan(version, store, pk)]
    return [*lost, *removed]


def _remove_orphan(version: ModelVersion, store: QdrantVectorStore, pk: int) -> bool:
    """Whoever gives it an owner holds the entity: a face is committed after its vector is written."""
    with transaction.atomic():
        point = store.fetch_points([pk], model=version.model).get(pk)
        if point is None:
            return False
        entity_id = int(point.payload.get("entity_id", pk))
        Entity.all_rows.select_for_update(no_key=True).filter(pk=entity_id).first()
        owners = Face if version.task_type == TaskType.FACE_EMBEDDING else ImageIntelligence
        is_owned = owners.objects.filter(pk=pk).exists()
        if not is_owned:
            store.delete([pk])
        return not is_owned


# --- Rows and jobs ---


def reconcile(processing: IntelligenceProcessingService, arguments: Arguments) -> None:
    processing.processor.reconcile_entities(arguments["entity_ids"], Priority.BACKFILL)


def look_at_jobs(processing: IntelligenceProcessingService, arguments: Arguments) -> list[list[Any]]:
    """Images of which a task is said to have ended, and no job of the model that is read has done it."""
    span = Span(arguments["first"], arguments["last"])
    found = _without_jobs(processing, span)
    return [[task.value, pk] for task, ids in found.items() for pk in ids]


def mend_jobs(processing: IntelligenceProcessingService, arguments: Arguments) -> int:
    number = 0
    for task, ids in arguments["images"].items():
        still = disagreements.without_result(
            Span(min(ids) - 1, max(ids)), TaskType(task), processing.jobs.models.wanted()[TaskType(task)][0]
        )
        number += rows.make_pending(set(ids) & set(still), TaskType(task), Priority.REDO)
    return number


def _without_jobs(processing: IntelligenceProcessingService, span: Span) -> dict[TaskType, list[int]]:
    return {
        task: disagreements.without_result(span, task, models[0])
        for task, models in processing.jobs.models.wanted().items()
    }


# --- The spool ---


def look_at_spool(processing: IntelligenceProcessingService, _arguments: Arguments) -> list[str]:
    client = processing.client
    return client.unwanted(SPOOL_KEPT, rows.live_among) if isinstance(client, SpoolComputeClient) else []


def clear_spool(processing: IntelligenceProcessingService, _arguments: Arguments) -> int:
    client = processing.client
    return client.purge(SPOOL_KEPT, rows.live_among) if isinstance(client, SpoolComputeClient) else 0
