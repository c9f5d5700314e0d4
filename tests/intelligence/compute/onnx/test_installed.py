from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from intelligence.compute.onnx.checking import Verdict, check, refuse_wrong
from intelligence.compute.onnx.errors import ModelFileError
from intelligence.compute.onnx.files import file_sha256
from intelligence.compute.onnx.installed import find, installed
from intelligence.model_entries import MIT
from intelligence.model_registry import Family, KnownFile, ModelEntry, Registry
from intelligence.vocabulary import TaskType
from tests.intelligence.compute.onnx.graphs import constant, echo
from tests.intelligence.compute.onnx.layouts import write_immich, write_token_tower, write_transformers

FACE = (1, 3, 112, 112)
DETECTION, FACES = TaskType.FACE_DETECTION, TaskType.FACE_EMBEDDING
CLIP, DINO = TaskType.CLIP_EMBEDDING, TaskType.DINO_EMBEDDING


def write_scrfd(path: Path) -> Path:
    outputs = {f"output_{number}": np.zeros((1, 1), dtype=np.float32) for number in range(9)}
    return constant(path, (1, 3, 640, 640), outputs)


def families(models_dir: Path) -> dict[str, dict[TaskType, Family]]:
    return {
        model.name: {task: part.family for task, part in model.parts.items()}
        for model in installed(models_dir)
    }


def test_folders_as_people_have_them(tmp_path: Path) -> None:
    write_scrfd(tmp_path / "my_faces" / "detection" / "model.onnx")
    echo(tmp_path / "my_faces" / "recognition" / "model.onnx", FACE)
    write_immich(tmp_path / "my_clip")
    write_transformers(tmp_path / "js_clip")
    write_token_tower(tmp_path / "js_dino" / "onnx" / "model.onnx")
    (tmp_path / "empty").mkdir()
    (tmp_path / "notes.txt").write_text("mine")
    assert families(tmp_path) == {
        "my_faces": {DETECTION: Family.SCRFD, FACES: Family.ARCFACE},
        "my_clip": {CLIP: Family.OPEN_CLIP},
        "js_clip": {CLIP: Family.TRANSFORMERS_CLIP},
        "js_dino": {DINO: Family.DINOV2},
    }


def test_immichs_whole_cache(tmp_path: Path) -> None:
    write_scrfd(tmp_path / "facial-recognition" / "mine" / "detection" / "model.onnx")
    echo(tmp_path / "facial-recognition" / "mine" / "recognition" / "model.onnx", FACE)
    write_immich(tmp_path / "clip" / "some_clip" / "0123abcd")  # a revision
    write_immich(tmp_path / "clip" / "other_clip")
    assert set(families(tmp_path)) == {"mine", "some_clip", "other_clip"}


def test_bare_files_by_what_they_say_of_themselves(tmp_path: Path) -> None:
    write_scrfd(tmp_path / "pack" / "det_10g.onnx")
    echo(tmp_path / "pack" / "w600k_r50.onnx", FACE)
    echo(tmp_path / "pack" / "genderage.onnx", (1, 3, 96, 96))
    write_token_tower(tmp_path / "dino.onnx")
    echo(tmp_path / "two" / "one.onnx", FACE)
    echo(tmp_path / "two" / "another.onnx", FACE)
    assert families(tmp_path) == {
        "pack": {DETECTION: Family.SCRFD, FACES: Family.ARCFACE},
        "dino": {DINO: Family.DINOV2},
        "one": {FACES: Family.ARCFACE},
        "another": {FACES: Family.ARCFACE},
    }


def test_what_is_under_way_or_no_model_is_not_there(tmp_path: Path) -> None:
    write_token_tower(tmp_path / ".incoming" / "dino" / "model.onnx")
    (tmp_path / "pointer.onnx").write_text("version https://git-lfs.github.com/spec/v1\n")
    (tmp_path / "noise.onnx").write_bytes(b"\xff" * 100)
    assert installed(tmp_path) == ()
    assert installed(tmp_path / "nowhere") == ()


def test_known_by_name_and_by_content(tmp_path: Path) -> None:
    shutil.copy(echo(tmp_path / "made.onnx", FACE), tmp_path / "copy.onnx")
    size, sha256 = (tmp_path / "made.onnx").stat().st_size, file_sha256(tmp_path / "made.onnx")
    by_content = ModelEntry(
        "known", {FACES: Family.SFACE}, "", MIT, files=(KnownFile("x.onnx", sha256, size),)
    )
    by_name = ModelEntry("Named", {FACES: Family.IMAGENET}, "", MIT)
    (tmp_path / "made.onnx").rename(tmp_path / "named.onnx")
    found = {each.name: each for each in installed(tmp_path, Registry((by_content, by_name)))}
    assert [found[name].entry for name in ("copy", "named")] == [by_content, by_name]
    assert [found[name].parts[FACES].family for name in ("copy", "named")] == [Family.SFACE, Family.IMAGENET]
    assert find(tmp_path, "KNOWN", Registry((by_content,))).name == "copy"


def test_two_folders_of_one_name_are_told_apart(tmp_path: Path) -> None:
    write_immich(tmp_path / "mine")
    write_immich(tmp_path / "clip" / "mine")
    assert [model.name for model in installed(tmp_path)] == ["clip/mine", "mine"]
    assert find(tmp_path, "clip/mine").folder == tmp_path / "clip" / "mine"
    with pytest.raises(ModelFileError, match=r"There is no model 'yours' .* baseline, clip/mine, mine"):
        find(tmp_path, "yours")


def entry(path: Path, sha256: str | None = None) -> Registry:
    size = path.stat().st_size
    known = KnownFile(path.name, sha256 or file_sha256(path), size)
    return Registry(
        (ModelEntry("mine", {FACES: Family.SFACE}, "", MIT, files=(known, KnownFile("more.json"))),)
    )


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda _: None, {"model.onnx": Verdict.RIGHT, "more.json": Verdict.UNKNOWN}),
        (lambda path: echo(path, (1, 3, 112, 113)), {"model.onnx": Verdict.WRONG, "more.json": "unknown"}),
        (lambda path: path.with_name("more.json").unlink(), {"model.onnx": "right", "more.json": "missing"}),
        (
            lambda path: path.with_name("more.json").write_text("version https://git-lfs.github.com/spec/v1"),
            {"model.onnx": Verdict.RIGHT, "more.json": Verdict.WRONG},
        ),
    ],
)
def test_files_are_compared_with_what_is_known(tmp_path: Path, change: object, told: object) -> None:
    path = echo(tmp_path / "mine" / "model.onnx", FACE)
    (tmp_path / "mine" / "more.json").write_text("{}")
    registry = entry(path)
    assert callable(change)
    change(path)
    model = find(tmp_path, "mine", registry)
    verdicts = {each.path: each.verdict for each in check(model)}
    assert verdicts == told
    if {Verdict.WRONG, Verdict.MISSING} & set(verdicts.values()):
        with pytest.raises(ModelFileError, match=r"mine: .* Fetch it again"):
            refuse_wrong(model)
    else:
        refuse_wrong(model)


def test_what_nobody_knows_is_said_with_what_was_found(tmp_path: Path) -> None:
    path = echo(tmp_path / "mine.onnx", FACE)
    (verdict,) = check(find(tmp_path, "mine", Registry(())))
    assert verdict.words == f"no known hash, computed {file_sha256(path)}"
