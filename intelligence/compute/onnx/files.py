"""A model's files on disk: that they are the ones meant, and a name for what is in them."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import Self

from intelligence.compute.onnx.errors import ModelFileError
from intelligence.compute.onnx.graph import GraphSummary, read_graph

_LFS_POINTER = b"version https://git-lfs"
_SHORT = 12


@dataclass(frozen=True)
class ModelFile:
    """An ONNX file with the files that its weights lie in, as they were when it was chosen."""

    path: Path
    sha256: str
    """Of the ONNX file itself, in hex: what is published for it."""
    graph: GraphSummary
    external: tuple[tuple[str, str], ...] = ()
    """Name and sha256 of each further file of weights."""

    @classmethod
    def read(cls, path: Path, *, sha256: str = "") -> Self:
        """Reads the whole file once, to hash it. ModelFileError for what is no model, or not the one with
        the sha256 asked for."""
        _refuse_pointer(path)
        found = file_sha256(path)
        if sha256 and found != sha256.lower():
            raise ModelFileError(f"{path} has the sha256 {found}; expected {sha256.lower()}. Fetch it again.")
        graph = read_graph(path)
        external = tuple((name, file_sha256(_beside(path, name))) for name in sorted(graph.external_files))
        return cls(path, found, graph, external)

    def check_unchanged(self) -> None:
        """ModelFileError if the files were replaced: results would carry the name of other weights."""
        now = [(self.path, self.sha256), *((_beside(self.path, name), sha) for name, sha in self.external)]
        for path, sha256 in now:
            if file_sha256(path) != sha256:
                raise ModelFileError(
                    f"{path} was replaced while in use. Restart, so that it gets its own name."
                )


def content_name(model: ModelFile, *settings: Path) -> str:
    """Twelve hex digits that stand for a model's weights and for the settings files that its vectors depend
    on. Those of the ONNX file's sha256 if there is nothing else."""
    parts = [
        model.sha256,
        *(sha256 for _, sha256 in model.external),
        *(file_sha256(path) for path in settings),
    ]
    if len(parts) == 1:
        return model.sha256[:_SHORT]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:_SHORT]


def file_sha256(path: Path) -> str:
    """Of a file that has not changed since it was last asked for, from memory."""
    try:
        stat = path.stat()
        return _sha256(path, stat.st_size, stat.st_mtime_ns, stat.st_ino)
    except OSError as error:
        raise ModelFileError(f"{path} cannot be read: {error.strerror}.") from error


@lru_cache(maxsize=256)
def _sha256(path: Path, _size: int, _changed: int, _inode: int) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def is_lfs_pointer(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return file.read(len(_LFS_POINTER)) == _LFS_POINTER
    except OSError as error:
        raise ModelFileError(f"{path} cannot be read: {error.strerror}.") from error


def _refuse_pointer(path: Path) -> None:
    if is_lfs_pointer(path):
        raise ModelFileError(
            f"{path} is a Git LFS pointer, not the model: fetch the file itself (`git lfs pull`)."
        )


def _beside(model: Path, name: str) -> Path:
    """A model may not name files outside its own folder."""
    if PurePosixPath(name).is_absolute() or ".." in PurePosixPath(name).parts or not name:
        raise ModelFileError(f"{model} names weights outside its folder: {name!r}.")
    return model.parent / name
