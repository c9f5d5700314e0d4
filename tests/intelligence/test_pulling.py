"""`manage.py models pull`, against a hub on this machine: whole and checked, or not at all."""

from __future__ import annotations

import fcntl
import hashlib
import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from io import StringIO
from pathlib import Path

import pytest
from django.core.management import call_command

from intelligence.compute.onnx.checking import PULLED, Verdict, check
from intelligence.compute.onnx.installed import find, installed
from intelligence.model_entries import APACHE, INSIGHTFACE, MIT, REGISTRY
from intelligence.model_registry import Family, KnownFile, ModelEntry
from intelligence.pulling import ConsentError, PullError, is_whole, plan, pull, require_consent
from intelligence.vocabulary import TaskType
from tests.intelligence.compute.onnx.graphs import echo
from tests.intelligence.hub_server import COMMIT, Hub, serving

pytestmark = pytest.mark.allow_hosts(["127.0.0.1"])

REPOSITORY = "somebody/faces"
MODEL = "recognition/model.onnx"


@pytest.fixture
def content(tmp_path: Path) -> bytes:
    model = echo(tmp_path / "made" / "model.onnx", (1, 3, 112, 112)).read_bytes()
    return model + b"\x7a\x80\x20" + bytes(4096)  # a field that nobody knows: an LFS file by its size


@pytest.fixture
def hub(content: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    files = {
        MODEL: content,
        "recognition/model.armnn": b"for others",
        "README.md": b"words",
        "notes.json": b"{}",
    }
    with serving(Hub({REPOSITORY: files})) as running:
        yield running


@pytest.fixture
def entry(content: bytes) -> ModelEntry:
    return ModelEntry(
        "faces",
        {TaskType.FACE_EMBEDDING: Family.ARCFACE},
        "",
        MIT,
        repository=REPOSITORY,
        files=(KnownFile(MODEL, hashlib.sha256(content).hexdigest(), len(content)),),
        wanted=("recognition/*", "*.json"),
    )


@pytest.fixture
def models_dir(tmp_path: Path) -> Path:
    return tmp_path / "models"


def fetch(entry: ModelEntry, hub: Hub, models_dir: Path) -> Path:
    return pull(plan(entry, endpoint=hub.url), models_dir, endpoint=hub.url)


def nothing_installed(models_dir: Path) -> bool:
    return not installed(models_dir) and not [
        each for each in models_dir.glob("*") if each.name != ".incoming"
    ]


def test_it_works(entry: ModelEntry, hub: Hub, models_dir: Path, content: bytes) -> None:
    planned = plan(entry, endpoint=hub.url)
    assert (planned.commit, {file.path for file in planned.files}) == (COMMIT, {MODEL, "notes.json"})
    assert planned.size == len(content) + 2
    assert not is_whole(entry, models_dir)
    target = pull(planned, models_dir, endpoint=hub.url)
    assert (target / MODEL).read_bytes() == content
    assert {path.name for path in target.iterdir()} == {"recognition", "notes.json", PULLED}
    assert json.loads((target / PULLED).read_text())["revision"] == COMMIT
    model = find(models_dir, "faces")
    assert {each.verdict for each in check(model)} == {Verdict.RIGHT}
    (target / "notes.json").write_text("[]")
    assert {each.path: each.verdict for each in check(model)} == {MODEL: "right", "notes.json": "wrong"}


def test_broken_files_make_way(entry: ModelEntry, hub: Hub, models_dir: Path, content: bytes) -> None:
    target = fetch(entry, hub, models_dir)
    (target / MODEL).write_bytes(content[:-1])
    fetch(entry, hub, models_dir)
    assert (target / MODEL).read_bytes() == content
    assert [path.name for path in (models_dir / ".incoming").iterdir()] == ["faces.lock"]


def test_a_connection_that_breaks_is_taken_up_where_it_broke(
    entry: ModelEntry, hub: Hub, models_dir: Path, content: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.DOWNLOAD_CHUNK_SIZE", 256)  # what is kept of a break
    hub.cut_off[MODEL] = 1
    target = fetch(entry, hub, models_dir)
    assert (target / MODEL).read_bytes() == content
    assert any(each.startswith(f"{MODEL} from ") for each in hub.fetched)


def test_an_interrupted_pull_does_not_fetch_whole_files_again(
    entry: ModelEntry, hub: Hub, models_dir: Path, content: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    planned = plan(entry, endpoint=hub.url)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_DOWNLOAD_TIMEOUT", 1)
    monkeypatch.setattr("huggingface_hub.file_download.time.sleep", lambda _seconds: None)
    hub.cut_off[MODEL] = 1000
    with pytest.raises(PullError):
        pull(planned, models_dir, endpoint=hub.url)
    assert nothing_installed(models_dir)
    hub.cut_off.clear()
    assert "notes.json" in hub.fetched
    hub.fetched.clear()
    pull(planned, models_dir, endpoint=hub.url)
    assert "notes.json" not in hub.fetched


@pytest.mark.parametrize(
    ("start", "words"),
    [
        (b"another model", "has the sha256 .*, not the one known"),
        (b"version https://git-lfs.github.com/spec/v1", "Git LFS pointer"),
    ],
)
def test_wrong_files_are_refused(
    entry: ModelEntry, hub: Hub, models_dir: Path, start: bytes, words: str
) -> None:
    hub.sent[MODEL] = start + hub.files[REPOSITORY][MODEL][len(start) :]
    with pytest.raises(PullError, match=words):
        fetch(entry, hub, models_dir)
    assert nothing_installed(models_dir)
    assert not (models_dir / ".incoming" / "faces").exists()
    hub.sent.clear()
    fetch(entry, hub, models_dir)


def test_what_the_hub_itself_states_counts_where_nothing_is_known(
    entry: ModelEntry, hub: Hub, models_dir: Path, content: bytes
) -> None:
    unknown = replace(entry, files=(KnownFile(MODEL),))
    hub.sent[MODEL] = content[:-1] + b"x"
    with pytest.raises(PullError, match="not the one stated by the hub"):
        fetch(unknown, hub, models_dir)


def test_whose_word_there_is_for_the_files_is_said(entry: ModelEntry, hub: Hub) -> None:
    no_commit = "No commit of this repository is known here: this is what it has at the moment."
    by_nobody = "Checked by size alone, for nobody states a hash: notes.json"
    assert plan(entry, endpoint=hub.url).guarantees() == [
        no_commit,
        f"Checked by a hash that is known here: {MODEL}",
        by_nobody,
    ]
    unknown = replace(entry, files=(KnownFile(MODEL),), revision=COMMIT)
    assert plan(unknown, endpoint=hub.url).guarantees() == [
        f"Checked only by the hash that the hub itself states; none is known here: {MODEL}",
        by_nobody,
    ]


def test_the_command_says_whose_word_there_is_before_it_fetches(
    hub: Hub, content: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CL_SERVER_DIR", str(tmp_path))
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", hub.url)
    hub.files["onnx-community/dinov2-small"] = {
        "onnx/model.onnx": content,
        "preprocessor_config.json": b"{}",
    }
    told = StringIO()
    call_command("models", "pull", "dinov2-small", "--dry-run", stdout=told)
    assert [line.strip() for line in told.getvalue().splitlines()] == [
        f"dinov2-small: 0.0 MB of onnx-community/dinov2-small at {COMMIT[:12]}",
        f"licence Apache-2.0: {APACHE.summary} ({APACHE.read_at})",
        "No commit of this repository is known here: this is what it has at the moment.",
        "Checked only by the hash that the hub itself states; none is known here: onnx/model.onnx",
        "Checked by size alone, for nobody states a hash: preprocessor_config.json",
    ]
    assert hub.fetched == []


def test_what_the_hub_refuses_is_said_in_words(entry: ModelEntry, hub: Hub, models_dir: Path) -> None:
    with pytest.raises(PullError, match=r"The hub has no nobody/nothing"):
        plan(replace(entry, repository="nobody/nothing"), endpoint=hub.url)
    with pytest.raises(PullError, match=r"has no nothing\.onnx: it has changed"):
        plan(replace(entry, files=(KnownFile("nothing.onnx"),)), endpoint=hub.url)
    hub.gated.add(REPOSITORY)
    with pytest.raises(PullError, match=r"is gated: accept its terms on the hub, and set HF_TOKEN"):
        plan(entry, endpoint=hub.url)
    with pytest.raises(PullError, match="copy its files by hand"):
        plan(replace(entry, repository=None), endpoint=hub.url)
    with pytest.raises(PullError, match="could not be fetched"):
        plan(entry, endpoint="http://127.0.0.1:9")
    assert not models_dir.exists()


def test_two_at_once(entry: ModelEntry, hub: Hub, models_dir: Path) -> None:
    planned = plan(entry, endpoint=hub.url)
    (models_dir / ".incoming").mkdir(parents=True)
    with (models_dir / ".incoming" / "faces.lock").open("w") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        with pytest.raises(PullError, match="is being pulled already"):
            pull(planned, models_dir, endpoint=hub.url)


def test_licences_that_set_limits_are_accepted_by_name(entry: ModelEntry) -> None:
    require_consent(entry, ())
    limited = replace(entry, licence=INSIGHTFACE)
    with pytest.raises(ConsentError, match="--accept-license insightface-non-commercial"):
        require_consent(limited, ("MIT",))
    require_consent(limited, (INSIGHTFACE.name,))


def test_the_proposed_set_is_free_and_whole() -> None:
    assert not [each.name for each in REGISTRY.defaults() if each.licence.needs_consent]
    assert {task for each in REGISTRY.defaults() for task in each.tasks} == set(TaskType)
    assert all(each.repository for each in REGISTRY.defaults())


def test_whoever_looks_at_images_cannot_download() -> None:
    """A worker with models and all it runs, in a process of its own."""
    code = (
        "import sys, intelligence.compute.local, intelligence.compute.onnx.chosen\n"
        "import intelligence.compute.onnx.trial\n"
        "names = {name.partition('.')[0] for name in sys.modules}\n"
        "found = names & {'huggingface_hub', 'httpx', 'httpx2', 'requests', 'hf_xet'}\n"
        "sys.exit(', '.join(found) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
