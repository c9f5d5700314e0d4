from __future__ import annotations

from pathlib import Path

import pytest

from intelligence.compute.onnx.unrecognised import unrecognised
from tests.intelligence.compute.onnx.graphs import echo
from tests.intelligence.compute.onnx.layouts import write_immich, write_token_tower, write_transformers

FACE = (1, 3, 112, 112)


def told(models_dir: Path) -> dict[str, str]:
    return {each.name: each.why for each in unrecognised(models_dir)}


def test_models_are_not_told_of(tmp_path: Path) -> None:
    """Nor what belongs to them, what is under way, and other files."""
    write_immich(tmp_path / "clip" / "some_clip" / "0123abcd")
    write_transformers(tmp_path / "js_clip")
    echo(tmp_path / "pack" / "w600k_r50.onnx", FACE)
    echo(tmp_path / "pack" / "genderage.onnx", (1, 3, 96, 96))
    write_token_tower(tmp_path / "dino.onnx")
    write_token_tower(tmp_path / ".incoming" / "half" / "model.onnx")
    (tmp_path / "notes.txt").write_text("mine")
    (tmp_path / "facial-recognition").mkdir()
    assert told(tmp_path) == {}
    assert told(tmp_path / "nowhere") == {}


def test_folders_that_lack_something(tmp_path: Path) -> None:
    (write_immich(tmp_path / "my_clip") / "visual" / "model.onnx").unlink()
    (write_immich(tmp_path / "clip" / "cached") / "visual" / "model.onnx").unlink()
    write_immich(tmp_path / "clip" / "whole")
    vision = write_transformers(tmp_path / "js_clip") / "onnx" / "vision_model.onnx"
    vision.rename(vision.with_name("vision_model_fp16.onnx"))
    (write_immich(tmp_path / "ViT-B-32__openai") / "visual" / "model.onnx").unlink()
    (tmp_path / "ViT-B-32__openai" / "config.json").unlink()
    (tmp_path / "empty").mkdir()
    assert told(tmp_path) == {
        "my_clip": "it lacks visual/model.onnx",
        "clip/cached": "it lacks visual/model.onnx",
        "js_clip": "it lacks onnx/model.onnx or onnx/vision_model.onnx "
        "(there is text_model.onnx, vision_model_fp16.onnx)",
        "ViT-B-32__openai": "to be ViT-B-32__openai it lacks config.json, visual/model.onnx",
        "empty": "it holds no ONNX file",
    }


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"version https://git-lfs.github.com/spec/v1\n", "is a Git LFS pointer, not the model"),
        (b"\xff" * 100, "is no ONNX model, or is cut short"),
    ],
)
def test_files_that_are_no_models(tmp_path: Path, content: bytes, why: str) -> None:
    (tmp_path / "bare.onnx").write_bytes(content)
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "inside.onnx").write_bytes(content)
    assert set(told(tmp_path)) == {"bare.onnx", "folder"}
    assert why in told(tmp_path)["bare.onnx"]
    assert why in told(tmp_path)["folder"]


def test_a_model_of_another_kind(tmp_path: Path) -> None:
    echo(tmp_path / "genderage.onnx", (1, 3, 96, 96), fed="data", given="fc1")
    assert told(tmp_path) == {
        "genderage.onnx": "takes data [1, 3, 96, 96] and gives fc1: no kind of model that is known here"
    }
