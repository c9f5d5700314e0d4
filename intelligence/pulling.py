"""Fetching the files of a known model. Only `manage.py models pull` does; whoever looks at images never does.

The hub's own client does the work, into a hidden folder; the files show up in the models folder whole and
checked, or not at all.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path
from typing import TYPE_CHECKING, Any

from intelligence.compute.onnx.checking import PULLED, Verdict, check
from intelligence.compute.onnx.errors import ModelFileError
from intelligence.compute.onnx.files import file_sha256, is_lfs_pointer
from intelligence.compute.onnx.installed import find
from intelligence.model_registry import ModelEntry

if TYPE_CHECKING:  # an extra: it is loaded where it is asked for
    from huggingface_hub import HfApi

_INCOMING = ".incoming"
_NEVER = ("*.armnn", "*.rknn", "*fp16*", "*rknpu*")
"""The same weights for other runtimes."""
_AT_ONCE = 4
_TO_SPARE = 64 * 1024 * 1024


class PullError(Exception):
    """Nothing was installed; the message says why, and what to do."""


class ConsentError(PullError):
    """The licence has not been accepted."""


@dataclass(frozen=True)
class RemoteFile:
    path: str
    size: int
    sha256: str | None
    """The hub knows that of large files."""


@dataclass(frozen=True)
class Plan:
    """What would be fetched."""

    entry: ModelEntry
    commit: str
    files: tuple[RemoteFile, ...]

    @property
    def size(self) -> int:
        return sum(file.size for file in self.files)

    def guarantees(self) -> list[str]:
        """Whose word there is for what would be fetched: in one line each, for people."""
        pinned = {file.path for file in self.entry.files if file.sha256}
        here = [file.path for file in self.files if file.path in pinned]
        hub = [file.path for file in self.files if file.sha256 and file.path not in pinned]
        nobody = [file.path for file in self.files if file.path not in {*here, *hub}]
        lines = [] if self.entry.revision else [_NO_COMMIT]
        for paths, words in ((here, _KNOWN_HERE), (hub, _KNOWN_TO_HUB), (nobody, _KNOWN_TO_NOBODY)):
            if paths:
                lines.append(f"{words}: {', '.join(paths)}")
        return lines


_NO_COMMIT = "No commit of this repository is known here: this is what it has at the moment."
_KNOWN_HERE = "Checked by a hash that is known here"
_KNOWN_TO_HUB = "Checked only by the hash that the hub itself states; none is known here"
_KNOWN_TO_NOBODY = "Checked by size alone, for nobody states a hash"


def require_consent(entry: ModelEntry, accepted: Collection[str]) -> None:
    licence = entry.licence
    if licence.needs_consent and licence.name not in accepted:
        raise ConsentError(
            f"{entry.name} is under the licence {licence.name}.\n{licence.summary}\n"
            f"Read it: {licence.read_at}\nIf you accept it, say so: --accept-license {licence.name}"
        )


def is_whole(entry: ModelEntry, models_dir: Path) -> bool:
    """It is installed already, and as it should be."""
    try:
        verdicts = check(find(models_dir, entry.name))
    except ModelFileError:
        return False
    return not any(each.verdict in (Verdict.WRONG, Verdict.MISSING) for each in verdicts)


def plan(entry: ModelEntry, *, endpoint: str | None = None) -> Plan:
    """Asks the hub. Raises PullError."""
    if entry.repository is None:
        raise PullError(f"{entry.name} has no repository to pull from: copy its files by hand.")
    api, repository = _api(endpoint), entry.repository
    from huggingface_hub.hf_api import RepoFile  # noqa: PLC0415

    with _in_words(entry):
        commit = api.model_info(repository, revision=entry.revision).sha or ""
        tree = api.list_repo_tree(repository, recursive=True, revision=commit)
        files = tuple(
            RemoteFile(file.path, file.size, file.lfs.sha256 if file.lfs else None)
            for file in tree
            if isinstance(file, RepoFile) and _is_wanted(file.path, entry.patterns)
        )
    missing = {file.path for file in entry.files} - {file.path for file in files}
    if missing:
        raise PullError(
            f"{repository} has no {', '.join(sorted(missing))}: it has changed, or is another one."
        )
    return Plan(entry, commit, files)


def pull(planned: Plan, models_dir: Path, *, endpoint: str | None = None) -> Path:
    """Answers the folder. Said again after an interruption, whole files are not fetched again.

    Raises PullError; then nothing has changed in the models folder.
    """
    entry, target = planned.entry, models_dir / planned.entry.name
    with _alone(models_dir, entry) as incoming:
        _require_space(planned, models_dir)
        _fetch(planned, incoming, endpoint)
        problems = [problem for file in planned.files for problem in _problems(incoming, file, entry)]
        if problems:
            shutil.rmtree(incoming)
            raise PullError(f"{entry.name} was not installed: {'; '.join(problems)}.")
        _note(planned, incoming)
        _install(incoming, target)
    return target


def _api(endpoint: str | None) -> HfApi:
    try:
        from huggingface_hub import HfApi  # noqa: PLC0415
    except ImportError as error:
        raise PullError(f"{error}. Install the extra `models`, or copy the files by hand.") from error
    return HfApi(endpoint=endpoint)


def _is_wanted(path: str, patterns: Sequence[str]) -> bool:
    return any(fnmatch(path, each) for each in patterns) and not any(fnmatch(path, each) for each in _NEVER)


def _fetch(planned: Plan, incoming: Path, endpoint: str | None) -> None:
    from huggingface_hub import snapshot_download  # noqa: PLC0415

    with _in_words(planned.entry):
        snapshot_download(
            planned.entry.repository or "",
            revision=planned.commit,
            local_dir=incoming,
            allow_patterns=[file.path for file in planned.files],
            max_workers=_AT_ONCE,
            endpoint=endpoint,
        )


def _problems(incoming: Path, file: RemoteFile, entry: ModelEntry) -> Iterator[str]:
    path = incoming / file.path
    if not path.is_file():
        yield f"{file.path} did not come"
        return
    if is_lfs_pointer(path):
        yield f"{file.path} is a Git LFS pointer, not the file itself"
        return
    if path.stat().st_size != file.size:
        yield f"{file.path} has {path.stat().st_size} bytes, not {file.size}"
    found = file_sha256(path)
    pinned = next((known.sha256 for known in entry.files if known.path == file.path), None)
    for expected, whose in ((pinned, "known"), (file.sha256, "stated by the hub")):
        if expected not in (None, found):
            yield f"{file.path} has the sha256 {found}, not the one {whose}, {expected}"


def _note(planned: Plan, incoming: Path) -> None:
    files = {
        file.path: {"sha256": file_sha256(incoming / file.path), "size": file.size} for file in planned.files
    }
    told: dict[str, Any] = {
        "repository": planned.entry.repository,
        "revision": planned.commit,
        "licence": planned.entry.licence.name,
        "files": files,
    }
    (incoming / PULLED).write_text(json.dumps(told, indent=2) + "\n", encoding="utf-8")
    shutil.rmtree(incoming / ".cache", ignore_errors=True)  # the client's own notes


def _install(incoming: Path, target: Path) -> None:
    """In one step, except where broken files have to make way first."""
    for path in incoming.rglob("*"):
        if path.is_file():
            with path.open("rb") as file:
                os.fsync(file.fileno())
    if target.exists():
        broken = incoming.with_name(f"{incoming.name}.broken")
        shutil.rmtree(broken, ignore_errors=True)
        target.rename(broken)
        incoming.rename(target)
        shutil.rmtree(broken)
    else:
        incoming.rename(target)


@contextmanager
def _alone(models_dir: Path, entry: ModelEntry) -> Iterator[Path]:
    """The folder to fetch into, for one process at a time."""
    parent = models_dir / _INCOMING
    parent.mkdir(parents=True, exist_ok=True)
    with (parent / f"{entry.name}.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise PullError(f"{entry.name} is being pulled already.") from None
        yield parent / entry.name


def _require_space(planned: Plan, models_dir: Path) -> None:
    free = shutil.disk_usage(models_dir).free
    if free < planned.size + _TO_SPARE:
        raise PullError(f"{planned.entry.name} needs {planned.size:,} bytes; only {free:,} are free.")


@contextmanager
def _in_words(entry: ModelEntry) -> Iterator[None]:
    """The client's errors, in words for whoever pulls."""
    from httpx2 import HTTPError  # noqa: PLC0415  (what the hub's client lets through)
    from huggingface_hub import errors  # noqa: PLC0415

    where = entry.repository
    try:
        yield
    except errors.GatedRepoError as error:
        raise PullError(
            f"{where} is gated: accept its terms on the hub, and set HF_TOKEN to a token of yours."
        ) from error
    except errors.RepositoryNotFoundError as error:
        raise PullError(f"The hub has no {where}, or shows it to members only (HF_TOKEN).") from error
    except errors.RevisionNotFoundError as error:
        raise PullError(f"{where} has no revision {entry.revision}.") from error
    except errors.EntryNotFoundError as error:
        raise PullError(f"{where} lacks a file: {error}") from error
    except (HTTPError, errors.XetDownloadError, OSError) as error:
        raise PullError(
            f"{where} could not be fetched: {error} Said again, it goes on where it was."
        ) from error
