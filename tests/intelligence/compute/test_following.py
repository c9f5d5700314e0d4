from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
from PIL import Image

from intelligence.compute.base import (
    ChosenModel,
    ComputeError,
    ComputeSettings,
    ComputeUnavailableError,
    EmbeddingResult,
    JobState,
)
from intelligence.compute.following import FOLLOW_SECONDS, FollowingModels
from intelligence.compute.local import LocalComputeClient
from intelligence.compute.model_set import ModelSet
from intelligence.model_registry import BASELINE
from intelligence.vocabulary import TaskType
from tests.intelligence.compute.onnx.layouts import write_immich, write_token_tower

CLIP, DINO = TaskType.CLIP_EMBEDDING, TaskType.DINO_EMBEDDING
MINE = ChosenModel(DINO, "mine")
PIXELS = 3 * 224 * 224


@dataclass
class Chosen:
    """What people have chosen, a clock, and what was built of it."""

    now: tuple[ChosenModel, ...] | None = ()
    time: float = 0.0
    refused: set[str] = field(default_factory=set)
    built: list[tuple[ChosenModel, ...]] = field(default_factory=list)

    def read(self) -> tuple[ChosenModel, ...]:
        if self.now is None:
            raise ComputeUnavailableError("the database is away")
        return self.now

    def build(self, chosen: tuple[ChosenModel, ...]) -> ModelSet:
        if self.refused & {each.name for each in chosen}:
            raise ComputeError("no such files")
        self.built.append(chosen)
        return ModelSet({})

    def following(self) -> FollowingModels:
        return FollowingModels(self.read, self.build, clock=lambda: self.time)


def test_a_choice_is_followed_within_seconds() -> None:
    chosen = Chosen()
    models = chosen.following()
    before = models.now()
    chosen.now = (MINE,)
    assert models.now() is before
    chosen.time = FOLLOW_SECONDS
    assert models.now() is not before
    assert chosen.built[-1] == (MINE,)
    assert len(chosen.built) == 3  # nothing, what was chosen at first, what is chosen now


def test_what_cannot_be_opened_at_first_stops_the_start() -> None:
    with pytest.raises(ComputeError, match="no such files"):
        Chosen(now=(MINE,), refused={"mine"}).following()


def test_what_cannot_be_opened_later_leaves_those_before_in_use(caplog: pytest.LogCaptureFixture) -> None:
    chosen = Chosen(now=(MINE,))
    models = chosen.following()
    before = models.now()
    chosen.now, chosen.refused = (ChosenModel(DINO, "torn"),), {"torn"}
    for _ in range(3):
        chosen.time += FOLLOW_SECONDS
        assert models.now() is before
    assert len([record for record in caplog.records if "cannot be used" in record.message]) == 1


def test_nothing_is_guessed_while_nobody_can_tell() -> None:
    """Or else a worker that starts while the database is away would answer with the built-in models."""
    chosen = Chosen(now=None)
    models = chosen.following()
    with pytest.raises(ComputeUnavailableError):
        models.now()
    chosen.now = (MINE,)
    models.now()
    assert chosen.built[-1] == (MINE,)
    chosen.now = None
    chosen.time += FOLLOW_SECONDS
    models.now()  # later it goes on with what it knows


def test_jobs_of_a_model_that_a_worker_has_not_heard_of_yet(
    tmp_path: Path, compute_settings: ComputeSettings
) -> None:
    """One process hands in, another runs; both follow the same choice, not at the same moment."""
    write_token_tower(tmp_path / "models" / "mine.onnx")
    Image.new("RGB", (64, 64), "teal").save(tmp_path / "photo.png")
    chosen: list[ChosenModel] = []
    settings = replace(compute_settings, models_dir=tmp_path / "models", read_chosen=lambda: tuple(chosen))
    hands_in, runs = (LocalComputeClient.create(settings, lambda _: None) for _ in range(2))
    hands_in.submit(DINO, tmp_path / "photo.png", {}, "baseline")
    chosen.append(MINE)
    hands_in.look_again()
    hands_in.submit(DINO, tmp_path / "photo.png", {}, "leading")

    assert set(runs.run(["baseline", "leading"])) == {"baseline", "leading"}
    results = [runs.get(job_id).result for job_id in ("baseline", "leading")]
    lengths = [len(each.vector) for each in results if isinstance(each, EmbeddingResult)]
    assert lengths == [384, PIXELS]  # each by the model that led when it was handed in
    assert runs.get("leading").state is JobState.COMPLETED


def test_words_are_read_by_the_tower_of_the_model_that_is_named(
    tmp_path: Path, compute_settings: ComputeSettings
) -> None:
    write_immich(tmp_path / "models" / "clip")
    chosen = (ChosenModel(CLIP, BASELINE), ChosenModel(CLIP, "clip"))
    settings = replace(compute_settings, models_dir=tmp_path / "models", read_chosen=lambda: chosen)
    client = LocalComputeClient.create(settings, lambda _: None)
    (clip,) = client.capabilities().further[CLIP]
    with pytest.raises(ComputeError, match="could not cope"):  # it gives its 77 tokens, not a vector
        client.embed_text("a cat", clip.name)
    with pytest.raises(ComputeError, match="baseline-dct-gist-512 understands no text"):
        client.embed_text("a cat")
