"""What is known of models beforehand: where their files are, what they may be used for, which numbers go with
them. Plain data, that the web side can read as well: no model is opened here, nothing is fetched.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from intelligence.vocabulary import TaskType

BASELINE = "baseline"
"""The name of the built-in models, which need no files."""


class Commercial(StrEnum):
    YES = "yes"
    NO = "no"
    CONDITIONS = "conditions"


@dataclass(frozen=True)
class Licence:
    name: str
    commercial: Commercial
    summary: str
    """What it comes to; the text itself counts."""
    read_at: str

    @property
    def needs_consent(self) -> bool:
        """Then its name has to be said before the files are fetched."""
        return self.commercial is not Commercial.YES


@dataclass(frozen=True)
class KnownFile:
    """A file of a model. What nobody has stated yet is None, and cannot be checked."""

    path: str
    sha256: str | None = None
    size: int | None = None


@dataclass(frozen=True)
class Threshold:
    value: float
    source: str
    """Who has measured it, on what; or that nobody has."""


class Family(StrEnum):
    """How a model is fed and read; the names of face embedders are those of onnx.face_embedder.FaceFamily."""

    YUNET = "yunet"
    SCRFD = "scrfd"
    ARCFACE = "arcface"
    SFACE = "sface"
    IMAGENET = "imagenet"
    OPEN_CLIP = "open_clip"
    TRANSFORMERS_CLIP = "transformers_clip"
    DINOV2 = "dinov2"
    DINOV3 = "dinov3"


@dataclass(frozen=True)
class ModelEntry:
    name: str
    """Of its folder in the models folder, too."""
    families: Mapping[TaskType, Family]
    about: str
    licence: Licence
    repository: str | None = None
    """On the Hugging Face hub; None: there is nowhere to pull it from, copy it by hand."""
    revision: str | None = None
    """A commit, where one is known; else what the repository has when it is pulled."""
    files: tuple[KnownFile, ...] = ()
    """Those without which it does not work."""
    wanted: tuple[str, ...] = ()
    """Patterns of all that is pulled; the `files` alone, if there are none."""
    dimension: int | None = None
    detection_from: Threshold | None = None
    same_person_from: Threshold | None = None
    near_duplicates_from: Threshold | None = None
    memory_mb: int | None = None
    """About what it takes while it is loaded: the size of its weights, unless measured."""
    is_default: bool = False
    """One of the set that is proposed: free to use for anything."""
    aliases: tuple[str, ...] = field(default=())
    """Other names that its folder may have."""

    @property
    def tasks(self) -> tuple[TaskType, ...]:
        return tuple(self.families)

    @property
    def patterns(self) -> tuple[str, ...]:
        return self.wanted or tuple(file.path for file in self.files)

    def threshold(self, task: TaskType) -> Threshold | None:
        """The score, or the cosine, that matters for the task."""
        return {
            TaskType.FACE_DETECTION: self.detection_from,
            TaskType.FACE_EMBEDDING: self.same_person_from,
            TaskType.CLIP_EMBEDDING: self.near_duplicates_from,
            TaskType.DINO_EMBEDDING: self.near_duplicates_from,
        }[task]


@dataclass(frozen=True)
class Registry:
    entries: tuple[ModelEntry, ...]

    def named(self, name: str) -> ModelEntry | None:
        """By its name, whatever the case, or by another name that its folder may have."""
        wanted = name.lower()
        for entry in self.entries:
            if wanted in {known.lower() for known in (entry.name, *entry.aliases)}:
                return entry
        return None

    def sizes(self) -> frozenset[int]:
        """Only files of these sizes can be recognised by their content: no others need be hashed for it."""
        return frozenset(file.size for file in self._files() if file.size and file.sha256)

    def with_file(self, sha256: str) -> ModelEntry | None:
        for entry in self.entries:
            if any(file.sha256 == sha256 for file in entry.files):
                return entry
        return None

    def defaults(self) -> tuple[ModelEntry, ...]:
        return tuple(entry for entry in self.entries if entry.is_default)

    def _files(self) -> Iterable[KnownFile]:
        return (file for entry in self.entries for file in entry.files)
