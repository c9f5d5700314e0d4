"""What an image costs a model that is fed with several at once, in as many processes side by side.

A process alone on the machine says too little: what a batch saves is mostly waiting for memory, which
processes share. The processes begin each size together, and take the sizes in turns, up and down.
"""

from __future__ import annotations

import multiprocessing
import statistics
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.figures import Figure
from intelligence.compute.onnx.files import ModelFile
from intelligence.compute.onnx.session import ModelSession, SessionSettings

SIZES = (1, 2, 4, 8)
ROUNDS = 6
IMAGES = 16
"""Looked at by each process at each size in a round."""

Times = dict[int, list[float]]
"""Milliseconds of an image in each round, by how many were fed at once."""


def figures(models: Mapping[str, Path], processes: int) -> Iterator[Figure]:
    """Bare: one at a time. The medians of all rounds of all processes."""
    for name, path in models.items():
        told = _side_by_side(path, processes)
        ones = [each for times in told for each in times[1]]
        for size in SIZES[1:]:
            several = [each for times in told for each in times[size]]
            ratios = sorted(each / one for each, one in zip(several, ones, strict=True))
            yield Figure(
                f"batch of {size}, {processes} processes: {name}",
                "ms",
                statistics.median(several),
                statistics.median(ones),
                note=f"in rounds {ratios[0]:.2f} to {ratios[-1]:.2f}",
            )


def _side_by_side(path: Path, processes: int) -> list[Times]:
    spawn = multiprocessing.get_context("spawn")
    begin, told = spawn.Barrier(processes), spawn.SimpleQueue()
    started = [spawn.Process(target=_run, args=(path, begin, told)) for _ in range(processes)]
    for process in started:
        process.start()
    answers = [told.get() for _ in started]
    for process in started:
        process.join()
        assert process.exitcode == 0
    return answers


def _run(path: Path, begin: Any, told: Any) -> None:
    model = ModelSession(ModelFile.read(path), SessionSettings(threads=1))
    (tensor,) = model.inputs
    sizes = (max(SIZES), *(size or 1 for size in tensor.shape[1:]))
    images = np.random.default_rng(0).standard_normal(sizes, np.float32)
    times: Times = {size: [] for size in SIZES}
    for size in SIZES:
        model.run({tensor.name: images[:size]})  # memory is found for it
    for turn in range(ROUNDS):
        for size in SIZES if turn % 2 else SIZES[::-1]:
            begin.wait()
            began = time.perf_counter()
            for _ in range(IMAGES // size):
                model.run({tensor.name: images[:size]})
            times[size].append(1000 * (time.perf_counter() - began) / IMAGES)
    told.put(times)
