from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest

from intelligence.compute.onnx.errors import ModelFileError
from intelligence.compute.onnx.files import ModelFile, content_name
from intelligence.compute.onnx.session import ModelSession, SessionSettings, TensorInfo, available_providers
from tests.intelligence.compute.onnx.graphs import echo

FOUR = np.arange(4, dtype=np.float32).reshape(1, 4)


@pytest.fixture
def model(tmp_path: Path) -> ModelFile:
    return ModelFile.read(echo(tmp_path / "echo.onnx", ("batch", 4)))


def eventually(condition: Callable[[], bool]) -> bool:
    until = time.monotonic() + 10
    while time.monotonic() < until:
        if condition():
            return True
        time.sleep(0.01)
    return False


def test_loads_when_first_needed(model: ModelFile) -> None:
    session = ModelSession(model, SessionSettings())
    before = session.is_loaded
    assert np.array_equal(session.run({"input": FOUR})[0], FOUR)
    assert (before, session.is_loaded) == (False, True)
    session.close()


def test_tells_what_the_file_tells(model: ModelFile) -> None:
    session = ModelSession(model, SessionSettings())
    (tensor,) = session.inputs
    assert tensor == TensorInfo("input", np.dtype(np.float32), (None, 4))
    assert session.outputs == ("output",)
    session.close()


def test_threads_at_once_load_once(model: ModelFile, monkeypatch: pytest.MonkeyPatch) -> None:
    loads: list[object] = []

    class Counted(onnxruntime.InferenceSession):  # type: ignore[misc] # it comes without types
        def __init__(self, *args: object, **options: object) -> None:
            loads.append(args)
            super().__init__(*args, **options)

    monkeypatch.setattr(onnxruntime, "InferenceSession", Counted)
    session = ModelSession(model, SessionSettings())
    with ThreadPoolExecutor(8) as pool:
        results = list(pool.map(lambda number: session.run({"input": FOUR + number})[0], range(32)))
    assert all(np.array_equal(result, FOUR + number) for number, result in enumerate(results))
    assert len(loads) == 1
    session.close()


def test_idle_model_is_unloaded_and_comes_back(model: ModelFile) -> None:
    session = ModelSession(model, SessionSettings(idle_seconds=0.05))
    session.run({"input": FOUR})
    assert eventually(lambda: not session.is_loaded)
    assert np.array_equal(session.run({"input": FOUR})[0], FOUR)
    session.close()


def test_model_in_use_is_not_unloaded(model: ModelFile) -> None:
    session = ModelSession(model, SessionSettings(idle_seconds=0.05))
    session.run({"input": FOUR})
    with session._in_use():
        time.sleep(0.2)
        assert session.is_loaded
    assert eventually(lambda: not session.is_loaded)


def test_lfs_pointer_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    path.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:8f2383\nsize 232589\n")
    with pytest.raises(ModelFileError, match="Git LFS pointer"):
        ModelFile.read(path)


def test_other_content_than_expected_is_refused(model: ModelFile) -> None:
    assert ModelFile.read(model.path, sha256=model.sha256.upper()) == model
    with pytest.raises(ModelFileError, match=model.sha256):
        ModelFile.read(model.path, sha256="0" * 64)


def test_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelFileError, match="No such file"):
        ModelFile.read(tmp_path / "none.onnx")


@pytest.mark.parametrize("kept", [0, 1, 40])
def test_file_cut_short_is_refused(model: ModelFile, kept: int) -> None:
    model.path.write_bytes(model.path.read_bytes()[:kept])
    with pytest.raises(ModelFileError, match="cut short"):
        ModelFile.read(model.path)


def test_noise_is_refused(tmp_path: Path) -> None:
    for seed in range(50):
        (tmp_path / "noise").write_bytes(np.random.default_rng(seed).bytes(2000))
        with pytest.raises(ModelFileError):
            ModelFile.read(tmp_path / "noise")


def test_replaced_file_is_not_loaded_under_the_old_name(model: ModelFile, tmp_path: Path) -> None:
    session = ModelSession(model, SessionSettings())
    echo(tmp_path / "echo.onnx", ("batch", 5))
    with pytest.raises(ModelFileError, match="replaced"):
        session.run({"input": FOUR})


def test_graph_is_read_as_onnx_reads_it(tmp_path: Path, model_files: dict[str, Path]) -> None:
    for path in model_files.values():
        graph, expected = ModelFile.read(path).graph, onnx.load(path).graph
        assert graph.operators == tuple(node.op_type for node in expected.node)
        assert graph.outputs == {
            value.name: tuple(dim.dim_value or None for dim in value.type.tensor_type.shape.dim)
            for value in expected.output
        }
        assert graph.external_files == frozenset()


def with_external_weights(path: Path, weights: str, value: float) -> Path:
    array = onnx.numpy_helper.from_array(np.full((1, 4), value, dtype=np.float32), "shift")
    node = onnx.helper.make_node("Add", ["input", "shift"], ["output"])
    info = [onnx.helper.make_tensor_value_info(name, 1, [1, 4]) for name in ("input", "output")]
    graph = onnx.helper.make_graph([node], "test", info[:1], info[1:], [array])
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, path, save_as_external_data=True, location=weights, size_threshold=0)
    return path


def test_name_changes_with_weights_in_another_file(tmp_path: Path) -> None:
    path = with_external_weights(tmp_path / "model.onnx", "weights.bin", 1)
    first = ModelFile.read(path)
    assert first.graph.external_files == {"weights.bin"}
    session = ModelSession(first, SessionSettings())
    assert np.array_equal(session.run({"input": FOUR})[0], FOUR + 1)
    session.close()
    (tmp_path / "weights.bin").write_bytes(np.full(4, 2, dtype=np.float32).tobytes())
    second = ModelFile.read(path)
    assert first.sha256 == second.sha256
    assert content_name(first) != content_name(second)


def test_weights_outside_the_folder_are_refused(tmp_path: Path) -> None:
    path = with_external_weights(tmp_path / "model.onnx", "weights.bin", 1)
    path.write_bytes(path.read_bytes().replace(b"weights.bin", b"../ights.bi"))
    with pytest.raises(ModelFileError, match="outside its folder"):
        ModelFile.read(path)


def test_name_is_the_start_of_the_published_sha256(model: ModelFile, tmp_path: Path) -> None:
    assert hashlib.sha256(model.path.read_bytes()).hexdigest().startswith(content_name(model))
    settings = tmp_path / "preprocess_cfg.json"
    settings.write_text("{}")
    assert content_name(model, settings) != content_name(model)


def test_providers_in_order_of_preference(monkeypatch: pytest.MonkeyPatch) -> None:
    has = ["CPUExecutionProvider", "CoreMLExecutionProvider", "CUDAExecutionProvider"]
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: has)
    assert available_providers(SessionSettings().providers) == [
        "CUDAExecutionProvider",
        "CoreMLExecutionProvider",
        "CPUExecutionProvider",
    ]
    assert available_providers(["OpenVINOExecutionProvider"]) == ["CPUExecutionProvider"]
