"""`manage.py models use`: from files that somebody copied to faces with vectors of them."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from entities.models import Entity, ServiceConfig
from entities.storage import EntityStorageService
from intelligence import capabilities, model_choices, model_versions, processing, using_models
from intelligence.compute.local import LocalComputeClient
from intelligence.models import EntityJob, Face, ModelVersion
from intelligence.processing import IntelligenceProcessingService
from intelligence.vocabulary import TaskType
from store_project.composition import compute_settings
from store_project.config import MInsightConfig, load
from tests.factories import make_photo, store
from tests.intelligence.compute.onnx.graphs import echo
from tests.intelligence.compute.onnx.layouts import write_immich, write_token_tower
from tests.intelligence.compute.pictures import TESTDATA
from tests.intelligence.pipeline import Pipeline, row_of
from vectors import get_dino_store, get_face_store

pytestmark = pytest.mark.django_db(transaction=True)

DINO, CLIP = TaskType.DINO_EMBEDDING, TaskType.CLIP_EMBEDDING
BASELINE_DINO = "baseline-dct-384"


@pytest.fixture
def models_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("CL_SERVER_DIR", str(tmp_path))
    (tmp_path / "models").mkdir()
    return tmp_path / "models"


@pytest.fixture
def start_worker(models_dir: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], Pipeline]:
    """A process with local compute, as configured; the commands are run in it."""

    def start() -> Pipeline:
        started: list[str] = []
        settings = compute_settings(load(MInsightConfig))
        client: Any = LocalComputeClient.create(settings, started.extend)
        made = IntelligenceProcessingService.of(client, EntityStorageService.from_settings())
        monkeypatch.setattr(processing, "_service", made)
        return Pipeline(made, client, started)

    return start


def models(*arguments: object) -> str:
    out = StringIO()
    call_command("models", *map(str, arguments), stdout=out, stderr=out)
    return out.getvalue()


def fails(code: int, *arguments: object) -> str:
    with pytest.raises(CommandError) as raised:
        models(*arguments)
    assert raised.value.returncode == code
    return str(raised.value)


def test_the_list_tells_thresholds_with_their_source_and_what_cannot_be_used(models_dir: Path) -> None:
    write_token_tower(models_dir / "dinov2-small" / "onnx" / "model.onnx")
    (models_dir / "half" / "visual").mkdir(parents=True)
    told = models("list")
    assert (
        "near-duplicates from 0.9: a rule of thumb for DINO, which nobody has measured for this model" in told
    )
    assert "Lies there too, and cannot be used:\n  half: it lacks visual/model.onnx\n" in told
    unrecognised = json.loads(models("list", "--json"))["unrecognised"]
    assert unrecognised == [{"name": "half", "why": "it lacks visual/model.onnx"}]


def test_copied_models_find_and_recognise_people(
    models_dir: Path, start_worker: Callable[[], Pipeline]
) -> None:
    """From the built-in models to YuNet and MobileFaceNet, while photos are in the store already."""
    photos = sorted((TESTDATA / "photos").glob("*.jpg"))
    if not photos:
        pytest.skip("no test photos: set STORE_TESTDATA to a folder that has photos/ and models/")
    worker = start_worker()
    entities = {path.stem: store(path.read_bytes()).entity for path in photos}
    worker.work()
    for name in ("face_detection_yunet_dynamic", "mobilefacenet_foamliu_112x112"):
        shutil.copy(TESTDATA / "models" / f"{name}.onnx", models_dir)

    assert "yunet" in models("list")
    told = models("use", "face_detection_yunet_dynamic", "--by", "Ada")
    assert f"{len(photos)} images are looked at again" in told
    worker.work()
    assert {face.model.rpartition("-")[0] for face in Face.objects.all()} == {"face-detection-yunet-dynamic"}
    numbers = {name: row_of(entity.pk).face_count for name, entity in entities.items()}
    assert numbers == {"obama_1": 1, "obama_2": 1, "biden_1": 1, "biden_2": 1, "group_obama_biden": 3}

    assert "Searches read it as soon as nothing is missing" in models(
        "use", "mobilefacenet", "--switch-when-done", "--by", "Ada"
    )
    worker.work()
    assert using_models.switch_those_done() == [TaskType.FACE_EMBEDDING]
    worker.processing.audit.follow_changes()
    assert (get_face_store().current_model() or "").startswith("mobilefacenet")
    worker.processing.encoder.tell_capabilities()
    assert "recognises people (mobilefacenet" in capabilities.summary()

    _same_people_are_near(worker, entities)


def _same_people_are_near(worker: Pipeline, entities: dict[str, Entity]) -> None:
    face_of = {name: Face.objects.filter(entity=entity).first() for name, entity in entities.items()}
    vectors = get_face_store().fetch([face.pk for face in Face.objects.all()])
    assert {len(vector) for vector in vectors.values()} == {128}
    who = {name: vectors[face.pk] for name, face in face_of.items() if face is not None}
    same = worker.client.capabilities().models[TaskType.FACE_EMBEDDING].same_person_from
    assert same is not None
    for first in ("obama", "biden"):
        assert float(who[f"{first}_1"] @ who[f"{first}_2"]) > same
        for second in {"obama", "biden"} - {first}:
            assert float(who[f"{first}_1"] @ who[f"{second}_2"]) < same
    for job in EntityJob.objects.filter(task_type=TaskType.FACE_EMBEDDING, face__in=vectors):
        assert job.model.startswith(("mobilefacenet", "baseline-face"))  # each result says by whom


def test_another_dino_is_filled_then_read(models_dir: Path, start_worker: Callable[[], Pipeline]) -> None:
    worker = start_worker()
    made = {make_photo(seed).pk for seed in range(3)}
    worker.work()
    write_token_tower(models_dir / "mine.onnx")
    assert "is filled in the background" in models("use", "mine", "--by", "Ada")
    (choice,) = model_choices.read()
    worker.work()
    assert get_dino_store().current_model() == BASELINE_DINO
    assert using_models.switch_those_done() == []  # nobody has asked for it
    call_command("reembed", "--task", "dino", "--switch", stdout=StringIO(), stderr=StringIO())
    assert get_dino_store().current_model() == choice.model
    assert set(get_dino_store().fetch(made)) == made

    fresh = make_photo(9).pk
    worker.work()
    assert fresh in get_dino_store().fetch([fresh])
    assert fresh in {point.id for point in get_dino_store().scroll(model=BASELINE_DINO)}  # for a rollback
    assert model_choices.read() == (choice,)


def test_a_store_without_images_reads_it_at_once(
    models_dir: Path, start_worker: Callable[[], Pipeline]
) -> None:
    worker = start_worker()
    worker.processing.jobs.models.wanted()  # the built-in ones are written down as current
    write_token_tower(models_dir / "mine.onnx")
    assert "mine-" in models("use", "mine")
    assert "answers" in models("use", "mine")
    assert (get_dino_store().current_model() or "").startswith("mine-")


def test_a_third_model_is_refused_and_nothing_is_changed(
    models_dir: Path, start_worker: Callable[[], Pipeline]
) -> None:
    worker = start_worker()
    make_photo()
    worker.work()
    write_token_tower(models_dir / "mine.onnx")
    write_token_tower(models_dir / "other" / "onnx" / "model.onnx")
    (models_dir / "other" / "preprocessor_config.json").write_text(
        '{"size": 224, "resample": 3, '
        '"do_center_crop": true, "crop_size": 224, "image_mean": [0, 0, 0], "image_std": [1, 1, 1]}'
    )
    models("use", "mine")
    before = ServiceConfig.objects.get(key=model_choices.KEY).value
    assert "kept beside baseline-dct-384 already: --drop it first" in fails(1, "use", "other")
    assert ServiceConfig.objects.get(key=model_choices.KEY).value == before
    assert "mine" in worker.client.capabilities().models[DINO].name
    model_versions.drop(DINO, by="Ada")
    models("use", "other")
    assert [choice.name for choice in model_choices.read()] == ["other"]


def test_back_to_the_built_in_ones(models_dir: Path, start_worker: Callable[[], Pipeline]) -> None:
    worker = start_worker()
    write_token_tower(models_dir / "mine.onnx")
    models("use", "mine")
    make_photo()
    worker.work()
    assert "is filled in the background" in models(
        "use", "baseline", "--task", "dino_embedding", "--switch-when-done"
    )
    worker.work()
    assert using_models.switch_those_done() == [DINO]
    assert get_dino_store().current_model() == BASELINE_DINO
    assert using_models.switch_those_done() == []
    model_versions.roll_back(DINO, by="Ada")
    worker.work()
    assert using_models.switch_those_done() == []  # a person has decided otherwise


def test_files_that_do_not_work_are_refused(models_dir: Path, start_worker: Callable[[], Pipeline]) -> None:
    start_worker()
    echo(models_dir / "buffalo_l" / "recognition" / "model.onnx", (1, 3, 112, 96))
    (models_dir / "buffalo_l" / "detection").mkdir()
    (models_dir / "buffalo_l" / "detection" / "model.onnx").write_text(
        "version https://git-lfs.github.com/spec/v1"
    )
    assert "is a Git LFS pointer" in fails(1, "use", "buffalo_l")
    assert fails(3, "verify").startswith("1 files are missing or wrong")
    shutil.rmtree(models_dir / "buffalo_l" / "detection")
    (models_dir / "buffalo_l").rename(models_dir / "mine")
    assert "takes (112, 96) pixels" in fails(1, "use", "mine")
    assert "There is no model 'yours'" in fails(1, "use", "yours")
    assert model_choices.read() == ()


def test_settings_go_before(
    models_dir: Path, start_worker: Callable[[], Pipeline], monkeypatch: pytest.MonkeyPatch
) -> None:
    write_token_tower(models_dir / "mine.onnx")
    write_immich(models_dir / "clip")
    monkeypatch.setenv("DINO_MODEL", "mine")
    worker = start_worker()
    assert "DINO_MODEL is set to mine, which goes before" in fails(1, "use", "baseline")
    assert worker.processing.jobs.models.wanted()[DINO][0].startswith("mine-")
    assert "dino_embedding: mine" in models("list")
    assert ModelVersion.objects.get(task_type=DINO).dimension == 3 * 224 * 224
