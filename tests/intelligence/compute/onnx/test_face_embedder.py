from __future__ import annotations

from itertools import combinations
from pathlib import Path

import cv2
import numpy as np
import onnx
import pytest
from onnx import helper

from intelligence.compute.alignment import aligned_crop
from intelligence.compute.onnx.detections import faces
from intelligence.compute.onnx.errors import ModelFileError
from intelligence.compute.onnx.face_embedder import FaceEmbedder, FaceFamily
from intelligence.compute.onnx.yunet import YuNetDetector
from intelligence.compute.picture import Pixels
from tests.intelligence.compute.onnx.conftest import OpenModel
from tests.intelligence.compute.onnx.graphs import echo, save
from tests.intelligence.compute.pictures import OpenPicture

FLOAT = onnx.TensorProto.FLOAT
CROP: Pixels = np.random.default_rng(5).integers(0, 256, (112, 112, 3), dtype=np.uint8)
OTHER: Pixels = np.random.default_rng(6).integers(0, 256, (112, 112, 3), dtype=np.uint8)


def direction(
    values: np.ndarray[tuple[int, ...], np.dtype[np.float64]],
) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    flat = values.ravel()
    return np.asarray(flat / np.linalg.norm(flat))


STATED = {
    FaceFamily.ARCFACE: lambda rgb: (rgb - 127.5) / 127.5,
    FaceFamily.SFACE: lambda rgb: rgb,
    FaceFamily.IMAGENET: lambda rgb: (rgb / 255 - (0.485, 0.456, 0.406)) / (0.229, 0.224, 0.225),
}


@pytest.mark.parametrize("family", FaceFamily)
def test_fed_as_stated_in_rgb(tmp_path: Path, open_model: OpenModel, family: FaceFamily) -> None:
    """The graph gives back what it was fed; with red and blue swapped that is something else."""
    embedder = FaceEmbedder(open_model(echo(tmp_path / "m.onnx", ("n", 3, 112, 112))), family)
    (vector,) = embedder.embed([CROP])
    assert np.allclose(vector, direction(STATED[family](CROP.astype(float)).transpose(2, 0, 1)), atol=1e-6)
    swapped = CROP[:, :, ::-1].astype(float)
    assert not np.allclose(vector, direction(STATED[family](swapped).transpose(2, 0, 1)), atol=1e-6)


def test_layout_is_read_from_the_file(tmp_path: Path, open_model: OpenModel) -> None:
    session = open_model(echo(tmp_path / "m.onnx", (1, 112, 112, 3), fed="faces"))
    (vector,) = FaceEmbedder(session, FaceFamily.SFACE).embed([CROP])
    assert np.allclose(vector, direction(CROP.astype(float)), atol=1e-6)


def test_sface_as_opencv_feeds_it(tmp_path: Path, open_model: OpenModel) -> None:
    """OpenCV's recogniser on the same graph, which tells the colours apart by their means."""
    pool = helper.make_node("ReduceMean", ["data"], ["fc1"], axes=[2, 3], keepdims=0)
    path = save(
        tmp_path / "sface.onnx",
        [pool],
        inputs={"data": (FLOAT, (1, 3, 112, 112))},
        outputs={"fc1": (FLOAT, (1, 3))},
    )
    tinted: Pixels = np.clip(CROP.astype(int) // 2 + (120, 60, 0), 0, 255).astype(np.uint8)
    by_opencv = cv2.FaceRecognizerSF.create(str(path), "").feature(np.ascontiguousarray(tinted[:, :, ::-1]))
    (ours,) = FaceEmbedder(open_model(path), FaceFamily.SFACE).embed([tinted])
    assert np.allclose(ours, direction(by_opencv.astype(float)), atol=1e-5)


def test_export_that_normalises_itself_is_fed_raw(tmp_path: Path, open_model: OpenModel) -> None:
    nodes = [
        helper.make_node("Sub", ["data", "half"], ["centred"]),
        helper.make_node("Mul", ["centred", "scale"], ["scaled"]),
        helper.make_node("Flatten", ["scaled"], ["fc1"], axis=1),
    ]
    path = save(
        tmp_path / "mxnet.onnx",
        nodes,
        inputs={"data": (FLOAT, (1, 3, 112, 112))},
        outputs={"fc1": (FLOAT, (1, 3 * 112 * 112))},
        constants={
            "half": np.array([127.5], dtype=np.float32),
            "scale": np.array([1 / 128], dtype=np.float32),
        },
    )
    (vector,) = FaceEmbedder(open_model(path), FaceFamily.ARCFACE).embed([CROP])
    assert np.allclose(vector, direction((CROP.astype(float) - 127.5).transpose(2, 0, 1)), atol=1e-6)


@pytest.mark.parametrize("batch", [1, 2, 4, "n"])
def test_each_crop_gets_its_own_vector_whatever_the_batch(
    tmp_path: Path, open_model: OpenModel, batch: int | str
) -> None:
    embedder = FaceEmbedder(open_model(echo(tmp_path / "m.onnx", (batch, 3, 112, 112))), FaceFamily.ARCFACE)
    one, two, three = embedder.embed([CROP, OTHER, CROP])
    assert np.array_equal(one, three)
    assert not np.allclose(one, two)
    assert np.array_equal(two, embedder.embed([OTHER])[0])
    assert len(embedder.embed([CROP] * 11)) == 11


def test_dimension_is_read_from_the_file(open_model: OpenModel, model_files: dict[str, Path]) -> None:
    session = open_model(model_files["mobilefacenet_foamliu_112x112"])
    assert FaceEmbedder(session, FaceFamily.IMAGENET).dimension == 128
    assert not session.is_loaded


def test_what_is_no_face_model_is_refused(
    tmp_path: Path, open_model: OpenModel, model_files: dict[str, Path]
) -> None:
    with pytest.raises(ModelFileError, match="takes no images"):
        FaceEmbedder(open_model(echo(tmp_path / "m.onnx", (1, 77))), FaceFamily.SFACE).embed([CROP])
    detector = open_model(model_files["face_detection_yunet_dynamic"])
    with pytest.raises(ModelFileError, match="more than one output"):
        FaceEmbedder(detector, FaceFamily.SFACE).embed([CROP])


def test_nothing_to_tell_is_an_error_and_no_vector(tmp_path: Path, open_model: OpenModel) -> None:
    embedder = FaceEmbedder(open_model(echo(tmp_path / "m.onnx", (1, 3, 112, 112))), FaceFamily.SFACE)
    with pytest.raises(ValueError, match="no direction"):
        embedder.embed([np.zeros((112, 112, 3), dtype=np.uint8)])
    with pytest.raises(ValueError, match="aligned crop"):
        embedder.embed([CROP[:96]])


def test_same_person_is_alike_and_others_are_not(
    open_model: OpenModel,
    model_files: dict[str, Path],
    portraits: dict[str, Path],
    open_picture: OpenPicture,
) -> None:
    """The same person's cosine is above 0.5 and that of two people below, on every pair of portraits."""
    detector = YuNetDetector(open_model(model_files["face_detection_yunet_dynamic"]), threshold=0.7, nms=0.4)
    embedder = FaceEmbedder(open_model(model_files["mobilefacenet_foamliu_112x112"]), FaceFamily.IMAGENET)
    vectors = {}
    for name in ("biden_1", "biden_2", "obama_1", "obama_2"):
        picture = open_picture(portraits[name])
        (face,) = faces(picture, detector.detect(picture))
        (vectors[name],) = embedder.embed([aligned_crop(picture, face.landmarks)])
    for (one, first), (two, second) in combinations(vectors.items(), 2):
        same = one.split("_")[0] == two.split("_")[0]
        assert (float(first @ second) > 0.5) == same, (one, two)
