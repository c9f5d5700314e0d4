"""Whether the files of an installed model are those that they should be, as far as anybody can tell."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from intelligence.compute.onnx.errors import ModelFileError
from intelligence.compute.onnx.files import file_sha256, is_lfs_pointer
from intelligence.compute.onnx.installed import InstalledModel
from intelligence.model_registry import KnownFile, ModelEntry

PULLED = ".pulled.json"
"""Beside the files of a model that was pulled: where from, and what they were then."""


class Verdict(StrEnum):
    RIGHT = "right"
    UNKNOWN = "unknown"
    WRONG = "wrong"
    MISSING = "missing"


@dataclass(frozen=True)
class FileVerdict:
    path: str
    verdict: Verdict
    words: str


def check(model: InstalledModel) -> list[FileVerdict]:
    """Of each of its files, and of those that are not there. Reads them all, however large."""
    known = _known(model)
    found = list(_files(model.folder))
    told = [_judged(path, name, known, model.entry) for path, name in found]
    there = {name for _, name in found} | {file.path for file in _by_content(model, found)}
    missing = [FileVerdict(name, Verdict.MISSING, "is missing") for name in sorted(known.keys() - there)]
    return told + missing


def refuse_wrong(model: InstalledModel) -> None:
    """ModelFileError if a file is not what it should be; what nobody can tell passes."""
    bad = [each for each in check(model) if each.verdict in (Verdict.WRONG, Verdict.MISSING)]
    if bad:
        told = "; ".join(f"{each.path} {each.words}" for each in bad)
        raise ModelFileError(f"{model.name}: {told}. Fetch it again.")


def _known(model: InstalledModel) -> dict[str, KnownFile]:
    """By path. What is pinned goes before what was found when it was pulled."""
    pulled = {
        path: KnownFile(path, str(file["sha256"]), int(file["size"]))
        for path, file in read_pulled(model.folder).get("files", {}).items()
    }
    pinned = {} if model.entry is None else {file.path: file for file in model.entry.files}
    return pulled | {path: file for path, file in pinned.items() if file.sha256 or path not in pulled}


def read_pulled(folder: Path) -> Mapping[str, Any]:
    """Empty where it was copied by hand."""
    try:
        values = json.loads((folder / PULLED).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return values if isinstance(values, dict) else {}


def _files(folder: Path) -> Iterator[tuple[Path, str]]:
    if folder.is_file():
        yield folder, folder.name
        return
    for path in sorted(folder.rglob("*")):
        place = path.relative_to(folder)
        if path.is_file() and not any(part.startswith(".") for part in place.parts):
            yield path, place.as_posix()


def _judged(path: Path, name: str, known: Mapping[str, KnownFile], entry: ModelEntry | None) -> FileVerdict:
    if is_lfs_pointer(path):
        return FileVerdict(name, Verdict.WRONG, "is a Git LFS pointer, not the file itself")
    sha256 = file_sha256(path)
    if entry is not None and any(file.sha256 == sha256 for file in entry.files):
        return FileVerdict(name, Verdict.RIGHT, "is as it is known")
    should_be = known[name].sha256 if name in known else None
    if should_be is None:
        return FileVerdict(name, Verdict.UNKNOWN, f"no known hash, computed {sha256}")
    if should_be == sha256:
        return FileVerdict(name, Verdict.RIGHT, "is as it was pulled")
    return FileVerdict(name, Verdict.WRONG, f"has the sha256 {sha256}; expected {should_be}")


def _by_content(model: InstalledModel, found: list[tuple[Path, str]]) -> list[KnownFile]:
    """Known files that lie there under other names."""
    if model.entry is None:
        return []
    hashes = {file_sha256(path) for path, _ in found if path.stat().st_size in _sizes(model.entry)}
    return [file for file in model.entry.files if file.sha256 in hashes]


def _sizes(entry: ModelEntry) -> set[int | None]:
    return {file.size for file in entry.files}
