"""One loaded model, shared by all threads of a process: loaded when first needed, let go when idle."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray
from onnxruntime.capi import onnxruntime_pybind11_state as state

from intelligence.compute.onnx.errors import ModelFileError
from intelligence.compute.onnx.files import ModelFile
from intelligence.compute.onnx.graph import Shape

logger = logging.getLogger(__name__)

Array = NDArray[Any]

PREFERRED_PROVIDERS = (
    "CUDAExecutionProvider",
    "OpenVINOExecutionProvider",
    "CoreMLExecutionProvider",
    "CPUExecutionProvider",
)

RUN_FAILURES: tuple[type[Exception], ...] = (state.Fail, state.InvalidArgument, state.RuntimeException)
"""What the runtime raises when a model cannot cope with what it is fed."""

_LOAD_FAILURES = (
    *RUN_FAILURES,
    state.EPFail,
    state.InvalidGraph,
    state.InvalidProtobuf,
    state.NoSuchFile,
    state.NotImplemented,
)

_PROVIDER_OPTIONS: dict[str, dict[str, str]] = {
    "CUDAExecutionProvider": {"arena_extend_strategy": "kSameAsRequested"},
    "CoreMLExecutionProvider": {"ModelFormat": "MLProgram"},
}

_ERRORS_ONLY = 3


@dataclass(frozen=True)
class SessionSettings:
    threads: int = 1
    providers: tuple[str, ...] = PREFERRED_PROVIDERS
    """In order of preference; those that this machine lacks are left out."""
    idle_seconds: float = 300.0
    """After so long without use the model's memory is given back."""


@dataclass(frozen=True)
class TensorInfo:
    name: str
    dtype: np.dtype[Any]
    shape: Shape


@dataclass(frozen=True)
class _Loaded:
    session: ort.InferenceSession
    inputs: tuple[TensorInfo, ...]
    outputs: tuple[str, ...]


class ModelSession:
    """Never downloads. Safe to use from several threads; to be first used after a fork, not before."""

    def __init__(self, file: ModelFile, settings: SessionSettings) -> None:
        self.file = file
        self._settings = settings
        self._lock = threading.Lock()
        self._loaded: _Loaded | None = None
        self._users = 0
        self._last_used = 0.0
        self._reaper: threading.Timer | None = None

    @property
    def is_loaded(self) -> bool:
        return self._loaded is not None

    @property
    def inputs(self) -> tuple[TensorInfo, ...]:
        with self._in_use() as loaded:
            return loaded.inputs

    @property
    def outputs(self) -> tuple[str, ...]:
        with self._in_use() as loaded:
            return loaded.outputs

    def run(self, feed: Mapping[str, Array], outputs: Sequence[str] | None = None) -> list[Array]:
        """The arrays of the named outputs; of all, in the file's order, if none are named.

        Raises RUN_FAILURES, MemoryError, ModelFileError.
        """
        with self._in_use() as loaded:
            try:
                return cast("list[Array]", loaded.session.run(outputs, dict(feed)))
            except RUN_FAILURES as error:
                if "allocat" in str(error).lower() or "out of memory" in str(error).lower():
                    raise MemoryError(f"no memory to run {self.file.path.name}") from error
                raise

    def close(self) -> None:
        """Gives the memory back; the next run loads the model again."""
        with self._lock:
            self._loaded = None
            if self._reaper is not None:
                self._reaper.cancel()
                self._reaper = None

    @contextmanager
    def _in_use(self) -> Iterator[_Loaded]:
        with self._lock:
            if self._loaded is None:
                self._loaded = _load(self.file, self._settings)
            loaded = self._loaded
            self._users += 1
        try:
            yield loaded
        finally:
            with self._lock:
                self._users -= 1
                self._last_used = time.monotonic()
                self._watch()

    def _watch(self) -> None:
        if self._reaper is None and self._loaded is not None:
            left = self._last_used + self._settings.idle_seconds - time.monotonic()
            self._reaper = threading.Timer(max(0.0, left), self._unload_if_idle)
            self._reaper.daemon = True
            self._reaper.start()

    def _unload_if_idle(self) -> None:
        with self._lock:
            self._reaper = None
            idle = time.monotonic() - self._last_used >= self._settings.idle_seconds
            if idle and self._users == 0:
                self._loaded = None
                logger.info("unloaded %s, idle for %gs", self.file.path, self._settings.idle_seconds)
            elif self._users == 0:
                self._watch()  # else whoever uses it does, when done


def available_providers(preferred: Sequence[str]) -> list[str]:
    """Those of the preferred that this machine's runtime has; the processor, if none."""
    has = set(ort.get_available_providers())
    return [name for name in preferred if name in has] or ["CPUExecutionProvider"]


def _load(file: ModelFile, settings: SessionSettings) -> _Loaded:
    file.check_unchanged()
    providers = available_providers(settings.providers)
    started = time.monotonic()
    try:
        session = ort.InferenceSession(
            file.path,
            sess_options=_options(settings),
            providers=[(name, _PROVIDER_OPTIONS.get(name, {})) for name in providers],
        )
    except _LOAD_FAILURES as error:
        raise ModelFileError(f"{file.path} cannot be loaded: {error}") from error
    seconds = time.monotonic() - started
    logger.info("loaded %s on %s in %.1fs", file.path, session.get_providers()[0], seconds)
    inputs = tuple(_tensor(argument) for argument in session.get_inputs())
    return _Loaded(session, inputs, tuple(argument.name for argument in session.get_outputs()))


def _options(settings: SessionSettings) -> ort.SessionOptions:
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_ALL
    options.execution_mode = ort.ExecutionMode.ORT_SEQUENTIAL
    options.inter_op_num_threads = 1
    options.intra_op_num_threads = settings.threads
    options.enable_mem_pattern = False  # planned for one shape; those of detectors vary
    options.log_severity_level = _ERRORS_ONLY
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return options


_DTYPES: dict[str, type[np.generic]] = {
    "tensor(float)": np.float32,
    "tensor(float16)": np.float16,
    "tensor(double)": np.float64,
    "tensor(uint8)": np.uint8,
    "tensor(int32)": np.int32,
    "tensor(int64)": np.int64,
}


def _tensor(argument: Any) -> TensorInfo:
    if argument.type not in _DTYPES:
        raise ModelFileError(
            f"The input {argument.name} is of a kind that is not supported: {argument.type}."
        )
    shape = tuple(size if isinstance(size, int) and size > 0 else None for size in argument.shape)
    return TensorInfo(argument.name, np.dtype(_DTYPES[argument.type]), shape)
