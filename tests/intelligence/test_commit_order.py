"""PostgreSQL commits in another order than it numbers: what is numbered first may appear last."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from django.db import connection, transaction

from entities.versions import History
from intelligence.models import EntitySyncState, ImageIntelligence
from tests.factories import make_photo
from tests.intelligence.pipeline import Pipeline
from tests.processes import wait_until

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif(
        connection.vendor != "postgresql", reason="SQLite has one writer: ids commit in order"
    ),
]


class OpenUpload(threading.Thread):
    """An upload on a connection of its own: its history id is drawn, its commit waits."""

    def __init__(self, seed: int) -> None:
        super().__init__(daemon=True)
        self.written = threading.Event()
        self.entity_id = 0
        self._seed = seed
        self._end = threading.Event()
        self._commits = True

    def run(self) -> None:
        try:
            with transaction.atomic():
                self.entity_id = make_photo(self._seed).pk
                self.written.set()
                assert self._end.wait(30)
                transaction.set_rollback(not self._commits)
        finally:
            connection.close()

    def end(self, *, commits: bool = True) -> None:
        self._commits = commits
        self._end.set()
        self.join(30)
        assert not self.is_alive()


@contextmanager
def open_upload(seed: int) -> Iterator[OpenUpload]:
    upload = OpenUpload(seed)
    upload.start()
    try:
        assert upload.written.wait(30)
        yield upload
    finally:
        upload.end()


def rows() -> set[int]:
    return set(ImageIntelligence.objects.values_list("pk", flat=True))


def watermark() -> int:
    return EntitySyncState.objects.get().last_version


def assert_reaches(pipeline: Pipeline, version: int) -> None:
    """Other databases of the same PostgreSQL have open transactions too, for a while."""

    def reached() -> bool:
        pipeline.reconcile()
        return watermark() == version

    wait_until(reached, seconds=30)


def test_what_commits_late_is_not_passed_over(pipeline: Pipeline) -> None:
    with open_upload(1) as early:
        late = make_photo(2)
        for _ in range(3):
            pipeline.reconcile()
        assert rows() == {late.pk}
        assert watermark() == 0
        early.end()

    pipeline.reconcile()
    assert rows() == {early.entity_id, late.pk}
    assert History.objects.get(id=early.entity_id).history_id < History.objects.get(id=late.pk).history_id


def test_the_watermark_follows_once_nothing_is_open(pipeline: Pipeline) -> None:
    with open_upload(1) as early:
        make_photo(2)
        pipeline.reconcile()
        early.end()
    assert_reaches(pipeline, History.objects.latest("history_id").history_id)
    assert pipeline.reconcile() == 0


def test_it_waits_for_no_one_who_gave_up(pipeline: Pipeline) -> None:
    with open_upload(1) as early:
        late = make_photo(2)
        pipeline.reconcile()
        early.end(commits=False)
    assert_reaches(pipeline, History.objects.get(id=late.pk).history_id)
    assert rows() == {late.pk}


def test_uploads_that_overlap_without_end_do_not_hold_it_forever(pipeline: Pipeline) -> None:
    """At every moment some upload is open, but none of them is open always."""
    with open_upload(1) as first:
        make_photo(2)
        pipeline.reconcile()
        with open_upload(3) as second:
            first.end()
            assert_reaches(pipeline, History.objects.latest("history_id").history_id)
            assert second.entity_id not in rows()
            second.end()
    pipeline.reconcile()

    assert second.entity_id in rows()
    assert len(rows()) == 3
