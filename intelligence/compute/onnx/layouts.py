"""Which files make up a model, in the folders that people have: Immich's and transformers.js's."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

from intelligence.compute.onnx.detections import FaceDetector
from intelligence.compute.onnx.errors import ModelFileError
from intelligence.compute.onnx.face_embedder import FaceEmbedder, FaceFamily
from intelligence.compute.onnx.files import ModelFile, content_name
from intelligence.compute.onnx.image_embedder import ImageEmbedder, Output
from intelligence.compute.onnx.scrfd import ScrfdDetector
from intelligence.compute.onnx.session import ModelSession, SessionSettings
from intelligence.compute.onnx.settings_files import SettingsFile
from intelligence.compute.onnx.text_embedder import TextEmbedder, TextTokenizer
from intelligence.compute.onnx.transforms import DINOV2, open_clip_transform, processor_transform
from intelligence.compute.onnx.yunet import YuNetDetector

Engine = TypeVar("Engine")

_PREPROCESSOR = "preprocessor_config.json"
_MODEL = "model.onnx"
_YUNET_OUTPUT = "cls_8"
_OPEN_CLIP_LENGTH = 77
_LONGEST_TEXT = 4096
"""Some tokenizer files state an astronomic length: that is, none."""


@dataclass(frozen=True)
class Named(Generic[Engine]):
    name: str
    """What people call the files, and a hash of their content."""
    engine: Engine


def open_detector(
    path: Path, settings: SessionSettings, *, threshold: float, nms: float
) -> Named[FaceDetector]:
    """An ONNX file, or a folder in Immich's layout; YuNet and SCRFD are told apart by their outputs."""
    file = ModelFile.read(path / "detection" / _MODEL if path.is_dir() else path)
    kind = YuNetDetector if _YUNET_OUTPUT in file.graph.outputs else ScrfdDetector
    return Named(_name(path, file), kind(ModelSession(file, settings), threshold=threshold, nms=nms))


def open_face_embedder(path: Path, family: FaceFamily, settings: SessionSettings) -> Named[FaceEmbedder]:
    """An ONNX file, or a folder in Immich's layout."""
    file = ModelFile.read(path / "recognition" / _MODEL if path.is_dir() else path)
    return Named(_name(path, file), FaceEmbedder(ModelSession(file, settings), family))


def open_clip(folder: Path, settings: SessionSettings) -> tuple[Named[ImageEmbedder], TextEmbedder | None]:
    """A folder in Immich's layout (visual/, textual/) or in that of transformers.js (onnx/). The text tower
    may be missing; then pictures are found by likeness only."""
    if (folder / "visual" / _MODEL).is_file():
        return _open_immich(folder, settings)
    if (folder / "onnx" / "vision_model.onnx").is_file():
        return _open_transformers(folder, settings)
    raise ModelFileError(f"{folder} has neither visual/model.onnx nor onnx/vision_model.onnx.")


def open_dino(path: Path, settings: SessionSettings) -> Named[ImageEmbedder]:
    """A folder in the layout of transformers.js, or a bare file of DINOv2."""
    if not path.is_dir():
        file = ModelFile.read(path)
        return Named(_name(path, file), ImageEmbedder(ModelSession(file, settings), DINOV2, Output.DINO))
    return _open_images(path, path / "onnx" / _MODEL, Output.DINO, settings)


def _open_immich(folder: Path, settings: SessionSettings) -> tuple[Named[ImageEmbedder], TextEmbedder | None]:
    stated = folder / "visual" / "preprocess_cfg.json"
    visual = ModelFile.read(folder / "visual" / _MODEL)
    transform = open_clip_transform(SettingsFile.read(stated))
    images = ImageEmbedder(ModelSession(visual, settings), transform, Output.CLIP_IMAGE)
    named = Named(_name(folder, visual, stated), images)
    if not (folder / "textual" / _MODEL).is_file():
        return named, None
    of_text = SettingsFile.read(folder / "config.json").part("text_cfg")
    if "nllb" in folder.name.lower():
        raise ModelFileError(f"{folder}: texts for this model need a language code, which is not supported.")
    tokenizer = TextTokenizer(
        folder / "textual",
        length=of_text.length("context_length", _OPEN_CLIP_LENGTH),
        canonical=of_text.part("tokenizer_kwargs").word("clean", "") == "canonicalize",
    )
    textual = ModelFile.read(folder / "textual" / _MODEL)
    return named, TextEmbedder(ModelSession(textual, settings), tokenizer)


def _open_transformers(
    folder: Path, settings: SessionSettings
) -> tuple[Named[ImageEmbedder], TextEmbedder | None]:
    named = _open_images(folder, folder / "onnx" / "vision_model.onnx", Output.CLIP_IMAGE, settings)
    text = folder / "onnx" / "text_model.onnx"
    if not text.is_file():
        return named, None
    tokenizer = TextTokenizer(folder, length=_text_length(folder))
    return named, TextEmbedder(ModelSession(ModelFile.read(text), settings), tokenizer)


def _open_images(
    folder: Path, model: Path, output: Output, settings: SessionSettings
) -> Named[ImageEmbedder]:
    file, stated = ModelFile.read(model), folder / _PREPROCESSOR
    transform = processor_transform(SettingsFile.read(stated))
    embedder = ImageEmbedder(ModelSession(file, settings), transform, output)
    return Named(_name(folder, file, stated), embedder)


def _text_length(folder: Path) -> int:
    of_text = SettingsFile.read(folder / "config.json").part("text_config")
    if "max_position_embeddings" in of_text:
        return of_text.length("max_position_embeddings")
    of_tokenizer = SettingsFile.read(folder / "tokenizer_config.json")
    length = of_tokenizer.number("model_max_length", 0)
    if not 0 < length <= _LONGEST_TEXT:
        raise of_tokenizer.wrong("model_max_length")
    return int(length)


def _name(path: Path, file: ModelFile, *stated: Path) -> str:
    label = re.sub(r"[^a-z0-9]+", "-", path.stem.lower() if path.is_file() else path.name.lower()).strip("-")
    return f"{label[:64] or 'model'}-{content_name(file, *stated)}"
