from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from intelligence.compute.onnx.errors import ModelFileError
from intelligence.compute.onnx.layouts import open_clip
from intelligence.compute.onnx.session import SessionSettings
from intelligence.compute.onnx.text_embedder import TextTokenizer
from tests.intelligence.compute.onnx.layouts import (
    END,
    START,
    write_immich,
    write_tokenizer,
    write_transformers,
)

CAT = [START, 320, 1125, 539, 320, 2368, END]
"""What CLIP's tokenizer makes of "a photo of a cat"."""


@pytest.mark.parametrize(("pad", "number"), [("<pad>", 0), ("<|endoftext|>", END)])
def test_check_value_with_the_padding_of_the_file(tmp_path: Path, pad: str, number: int) -> None:
    write_tokenizer(tmp_path, pad=pad)
    ids, mask = TextTokenizer(tmp_path, length=77).tokens("  A photo\n of   a cat ")
    assert ids.tolist() == [CAT + [number] * 70]
    assert mask.tolist() == [[1] * 7 + [0] * 70]


def test_long_text_keeps_its_end(tmp_path: Path) -> None:
    write_tokenizer(tmp_path, pad="<pad>")
    ids, _ = TextTokenizer(tmp_path, length=77).tokens("cat " * 200)
    assert ids.tolist() == [[START, *[2368] * 75, END]]


def test_canonical_text_has_no_case_and_no_punctuation(tmp_path: Path) -> None:
    write_tokenizer(tmp_path, pad="<pad>")
    plain = TextTokenizer(tmp_path, length=64).tokens("a photo of a cat!")[0]
    canonical = TextTokenizer(tmp_path, length=64, canonical=True).tokens("A photo, of a cat!")[0]
    assert canonical[0, :8].tolist() == [*CAT, 0]
    assert plain[0, :8].tolist() != [*CAT, 0]


def test_immich_tower_is_fed_int32_of_the_stated_length(tmp_path: Path) -> None:
    """The tower gives back the ids, as a direction."""
    folder = write_immich(tmp_path / "siglip", context_length=64, clean="canonicalize")
    _, text = open_clip(folder, SessionSettings())
    assert text is not None
    expected = np.array(CAT + [0] * 57, dtype=float)
    assert np.allclose(text.embed("A photo of a cat."), expected / np.linalg.norm(expected), atol=1e-6)


def test_transformers_tower_is_fed_int64_and_its_own_padding(tmp_path: Path) -> None:
    _, text = open_clip(write_transformers(tmp_path / "clip"), SessionSettings())
    assert text is not None
    expected = np.array(CAT + [END] * 70, dtype=float)
    assert np.allclose(text.embed("a photo of a cat"), expected / np.linalg.norm(expected), atol=1e-6)
    assert text.dimension == 77


def test_folder_without_text_has_pictures_only(tmp_path: Path) -> None:
    folder = write_immich(tmp_path / "clip")
    (folder / "textual" / "model.onnx").unlink()
    assert open_clip(folder, SessionSettings())[1] is None


def test_unusable_tokenizers_are_named(tmp_path: Path) -> None:
    with pytest.raises(ModelFileError, match="is missing"):
        TextTokenizer(tmp_path, length=77)
    write_tokenizer(tmp_path, pad="<nothing>")
    with pytest.raises(ModelFileError, match="pad token '<nothing>'"):
        TextTokenizer(tmp_path, length=77)
    (tmp_path / "tokenizer.json").write_text("{")
    with pytest.raises(ModelFileError, match="is no tokenizer"):
        TextTokenizer(tmp_path, length=77)


def test_length_that_the_tower_does_not_take_is_named(tmp_path: Path) -> None:
    folder = write_immich(tmp_path / "clip")
    (folder / "config.json").write_text('{"text_cfg": {"context_length": 64}}')
    _, text = open_clip(folder, SessionSettings())
    assert text is not None
    with pytest.raises(ModelFileError, match="77 tokens, the tokenizer gives 64"):
        text.embed("cat")
