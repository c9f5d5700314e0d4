"""What an audit leaves alone, and what it does with what it finds."""

from __future__ import annotations

import json
import os
import time
from datetime import UTC, date, datetime, timedelta
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.test import override_settings

from entities import counting, quarantine, services
from entities.audit.findings import Outcome
from entities.models import Entity
from entities.storage import EntityStorageService
from intelligence import errands, processing
from intelligence.audit import whole
from tests.factories import make_collection, make_photo, store
from tests.intelligence.damages import rows
from tests.intelligence.pipeline import Pipeline
from tests.mqtt import BROKER, BROKER_PORT, kept, listening, own_topic_port

pytestmark = pytest.mark.django_db(transaction=True)

HOUR = 3600


@pytest.fixture(autouse=True)
def worker(pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processing, "_service", pipeline.processing)
    counting.count_again()  # the end of another test deletes parents before what lies in them


def audit(*options: str) -> tuple[int, list[dict[str, Any]]]:
    out = StringIO()
    try:
        call_command("audit", "--json", *options, stdout=out, stderr=StringIO())
        code = 0
    except CommandError as error:
        code = error.returncode
    return code, [json.loads(line) for line in out.getvalue().splitlines()]


def kinds(*options: str) -> list[str]:
    return sorted(finding["kind"] for finding in audit(*options)[1])


def strange(path: Path, *, hours: float) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"strange")
    os.utime(path, (time.time() - hours * HOUR,) * 2)
    return path


# --- What is on its way -----------------------------------------------------------------------------------


def test_what_is_young_is_left_alone(pipeline: Pipeline, media_root: Path) -> None:
    """An upload whose row is not committed yet, one whose results are under way, and one that just went."""
    make_photo(1)  # nobody has looked at it
    gone = make_photo(2)
    pipeline.work()
    waiting = make_photo(3)
    (media_root / str(waiting.file_path)).unlink()
    strange(media_root / "store" / "2026" / f"{'0' * 32}.jpg", hours=0)
    services.patch_entity(gone.pk, {"is_deleted": True})
    services.remove_entity(
        gone.pk, storage=EntityStorageService.from_settings()
    )  # its vectors are there still

    assert audit() == (0, [])
    assert audit("--fix") == (0, [])
    orphans = ["orphaned_crop"] * 2 + ["orphaned_vector"] * 4
    assert kinds("--grace", "0") == [
        "missing_file",
        "missing_results",
        *orphans[:2],
        "orphaned_file",
        *orphans[2:],
    ]


def test_what_belongs_to_somebody_by_now_is_not_mended(pipeline: Pipeline, media_root: Path) -> None:
    photo = make_photo(1)
    pipeline.work()
    file = media_root / str(photo.file_path)
    second = strange(media_root / "store" / "2000" / file.name, hours=9)
    audit_of_now = whole.auditor(errands.ask, grace_seconds=0)
    found = list(audit_of_now.look())
    Entity.objects.filter(pk=photo.pk).update(file_path=f"store/2000/{file.name}")
    assert [outcome for _, outcome in audit_of_now.mend(found)] == [Outcome.GONE]
    assert second.exists()


def test_since_leaves_out_what_is_older(pipeline: Pipeline, media_root: Path) -> None:
    photo = make_photo(1)
    pipeline.work()
    Entity.objects.update(updated_date=datetime(2020, 1, 1, tzinfo=UTC))
    (media_root / str(photo.file_path)).unlink()
    strange(media_root / "store" / "old.jpg", hours=100)
    strange(media_root / "store" / "new.jpg", hours=30)
    assert kinds() == ["missing_file", "orphaned_file", "orphaned_file"]
    assert kinds("--since", "2d") == ["orphaned_file"]
    assert kinds("--since", "2019-12-31") == kinds()


# --- Mending ----------------------------------------------------------------------------------------------


def test_files_go_into_quarantine_and_from_there_in_the_end(media_root: Path) -> None:
    first = strange(media_root / "store" / "2020" / "a.jpg", hours=9)
    assert audit("--fix")[1][0]["outcome"] == "mended"
    strange(first, hours=9)  # once more under the same name
    assert audit("--fix")[0] == 0
    assert not first.parent.exists()
    away = list(media_root.rglob("a.jpg*"))
    assert [path.read_bytes() for path in away] == [b"strange"] * 2

    today = date.today()  # noqa: DTZ011
    assert quarantine.purge(media_root, today=today + timedelta(days=29)) == []
    assert len(quarantine.purge(media_root, today=today + timedelta(days=32))) == 1
    assert list(media_root.rglob("a.jpg*")) == []


def test_a_row_that_was_lost_comes_back_into_its_collection(pipeline: Pipeline) -> None:
    outer = make_collection("outer")
    inner = make_collection("inner", parent_id=outer.pk)
    text = store(b"a text", label="notes", parent_id=inner.pk).entity
    for pk in (text.pk, inner.pk, outer.pk):
        rows(f"DELETE FROM entities_entity WHERE id = {pk}")
    assert kinds("--grace", "0") == ["lost_entity"] * 3
    assert audit("--grace", "0", "--fix")[0] == 0
    back = Entity.objects.get(pk=text.pk)
    assert (back.label, back.parent, back.parent and back.parent.parent_id) == ("notes", inner, outer.pk)
    assert [each.history_change_reason for each in back.history.all()] == ["Its row was lost.", None]
    assert audit("--grace", "0") == (0, [])


def test_what_was_removed_for_good_is_not_lost() -> None:
    text = store(b"a text").entity
    services.patch_entity(text.pk, {"is_deleted": True})
    services.remove_entity(text.pk, storage=EntityStorageService.from_settings())
    assert audit("--grace", "0") == (0, [])


def test_a_row_without_its_file_does_not_come_back(media_root: Path) -> None:
    text = store(b"a text").entity
    rows(f"DELETE FROM entities_entity WHERE id = {text.pk}")
    (media_root / str(text.file_path)).unlink()
    code, [finding] = audit("--grace", "0", "--fix")
    assert (code, finding["kind"], finding["outcome"]) == (1, "lost_entity", "cannot be mended")


def test_jobs_that_nobody_wants_leave_the_spool(pipeline: Pipeline, data_dir: Path) -> None:
    make_photo(1)
    pipeline.work()
    left = data_dir / "compute" / "abc" / "0123.request"
    left.parent.mkdir(parents=True)
    left.touch()
    os.utime(left, (time.time() - 2 * HOUR,) * 2)
    assert kinds() == ["leftover_job"]
    assert audit("--fix")[0] == 0
    assert not left.exists()


# --- MQTT -------------------------------------------------------------------------------------------------


@pytest.mark.services("mosquitto")
def test_statuses_of_entities_that_are_gone_are_taken_back() -> None:
    photo = make_photo(1)
    with (
        own_topic_port() as port,
        override_settings(MQTT_BROKER=BROKER, MQTT_PORT=BROKER_PORT, MQTT_TOPIC_PORT=port),
    ):
        topic = f"mInsight/{port}/entity_item_status/{{}}"
        with listening("nothing") as client:
            for pk in (photo.pk, 10**9):
                client.client.publish(topic.format(pk), b'{"status": "?"}', 1, retain=True).wait_for_publish(
                    10
                )
        found = [each for each in audit()[1] if each["kind"] == "orphaned_status"]
        assert found == [{"kind": "orphaned_status", "entity_id": 10**9, "topic": topic.format(10**9)}]
        audit("--fix")
        assert kept(topic.format(10**9)) == []
        assert len(kept(topic.format(photo.pk))) == 1


@pytest.mark.allow_hosts(["127.0.0.1"])
def test_a_broker_that_is_away_is_told_of(monkeypatch: pytest.MonkeyPatch, media_root: Path) -> None:
    strange(media_root / "store" / "a.jpg", hours=9)
    monkeypatch.setattr("intelligence.audit.retained.BROKER_SECONDS", 0.1)
    with override_settings(MQTT_BROKER="127.0.0.1", MQTT_PORT=1, MQTT_TOPIC_PORT=1):
        code, findings = audit()
    assert (code, [each["kind"] for each in findings]) == (3, ["orphaned_file"])
