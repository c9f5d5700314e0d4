from __future__ import annotations

import threading
from typing import Any

import pytest
from django.db import DatabaseError, connections

from entities import tallies
from entities.models import Tally
from entities.tallies import Key, Ledger


def rows() -> list[tuple[Any, ...]]:
    return list(
        Tally.objects.order_by("subject").values_list("kind", "subject", "detail", "number", "amount")
    )


@pytest.mark.django_db
def test_it_works() -> None:
    ledger = Ledger()
    ledger.add(Key("upload", "image"), 100.0)
    ledger.add(Key("upload", "image"), 20.0)
    ledger.add(Key("inference", "clip", "model"), 0.5, number=2)
    assert rows() == []
    ledger.flush()
    ledger.flush()
    assert rows() == [("inference", "clip", "model", 2, 0.5), ("upload", "image", "", 2, 120.0)]


@pytest.mark.django_db(transaction=True)
def test_several_processes_add_up() -> None:
    def work() -> None:
        ledger = Ledger()
        for number in range(30):
            ledger.add(Key("upload", "ab"[number % 2]), 1.0)
            ledger.flush()
        connections.close_all()

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert rows() == [("upload", "a", "", 60, 60.0), ("upload", "b", "", 60, 60.0)]


@pytest.mark.django_db
def test_what_cannot_be_written_now_is_written_later(monkeypatch: pytest.MonkeyPatch) -> None:
    def away(_sums: object) -> None:
        raise DatabaseError

    ledger = Ledger()
    ledger.add(Key("upload", "image"), 7.0)
    with monkeypatch.context() as patched:
        patched.setattr(tallies, "_write", away)
        with pytest.raises(DatabaseError):
            ledger.flush()
    ledger.flush()
    assert rows() == [("upload", "image", "", 1, 7.0)]
