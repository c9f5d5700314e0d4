"""The tables of this app, each kind in a module of its own."""

from __future__ import annotations

from intelligence.models.duplicates import DuplicateCandidate, DuplicatePair
from intelligence.models.errands import SearchEncoding, VectorErrand
from intelligence.models.faces import Face
from intelligence.models.images import (
    STATUS_FIELDS,
    EntitySyncState,
    ImageIntelligence,
    UpkeepMark,
    waits_for,
)
from intelligence.models.jobs import EntityJob, EntityJobQuerySet, TaskPause
from intelligence.models.model_versions import ModelVersion, ModelVersionEvent
from intelligence.models.people import (
    FaceDecision,
    FaceMatch,
    KnownPerson,
    PeopleChange,
    PeopleOperation,
    PersonDistinction,
)

__all__ = [
    "STATUS_FIELDS",
    "DuplicateCandidate",
    "DuplicatePair",
    "EntityJob",
    "EntityJobQuerySet",
    "EntitySyncState",
    "Face",
    "FaceDecision",
    "FaceMatch",
    "ImageIntelligence",
    "KnownPerson",
    "ModelVersion",
    "ModelVersionEvent",
    "PeopleChange",
    "PeopleOperation",
    "PersonDistinction",
    "SearchEncoding",
    "TaskPause",
    "UpkeepMark",
    "VectorErrand",
    "waits_for",
]
