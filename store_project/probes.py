"""Looking at several things side by side, in bounded time, however many ask and whatever hangs."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future, wait
from dataclasses import dataclass
from typing import Generic, TypeVar

from django.db import connections

GOOD_FOR_SECONDS = 1.0

T = TypeVar("T")


class Shared(Generic[T]):
    """Something that takes a moment to find out. Once at a time: who asks meanwhile, or shortly after, shares
    the answer; so what hangs is not piled up."""

    def __init__(
        self, name: str, find_out: Callable[[], T], *, good_for_seconds: float = GOOD_FOR_SECONDS
    ) -> None:
        self.name = name
        self._find_out = find_out
        self._good_for_seconds = good_for_seconds
        self._lock = threading.Lock()
        self._asked: Future[T] | None = None
        self._asked_at = 0.0

    def ask(self) -> Future[T]:
        with self._lock:
            if self._asked is None or (self._asked.done() and self._is_old()):
                self._asked, self._asked_at = Future(), time.monotonic()
                thread = threading.Thread(
                    target=self._answer, args=[self._asked], name=self.name, daemon=True
                )
                thread.start()
            return self._asked

    def _is_old(self) -> bool:
        return time.monotonic() - self._asked_at > self._good_for_seconds

    def _answer(self, asked: Future[T]) -> None:
        try:
            found = self._find_out()
        except BaseException as error:  # noqa: BLE001  (a future hands it to whoever asks)
            connections.close_all()
            asked.set_exception(error)
        else:
            connections.close_all()
            asked.set_result(found)


@dataclass(frozen=True)
class Finding:
    word: str
    is_well: bool
    detail: str = ""
    """For operators: it may name hosts and folders."""
    age_seconds: float | None = None
    """Since it was last found well; None where it never was."""


def well(word: str = "ok", detail: str = "", *, age_seconds: float = 0.0) -> Finding:
    return Finding(word, is_well=True, detail=detail, age_seconds=age_seconds)


def unwell(word: str, detail: str = "", *, age_seconds: float | None = None) -> Finding:
    return Finding(word, is_well=False, detail=detail, age_seconds=age_seconds)


class Probe(Shared[Finding]):
    """Looks at one part, and remembers when it was last found well."""

    def __init__(self, name: str, look: Callable[[], Finding]) -> None:
        super().__init__(name, self._look_and_remember)
        self.look = look
        self._well_at: float | None = None

    def age_seconds(self) -> float | None:
        return None if self._well_at is None else time.monotonic() - self._well_at

    def _look_and_remember(self) -> Finding:
        found = self.look()
        if found.is_well:
            self._well_at = time.monotonic()
        return found


def ask_all(probes: Mapping[str, Probe], *, seconds: float) -> dict[str, Finding]:
    """What has not answered by then is told to hang; it is looked at no second time until it answers."""
    asked = {name: probe.ask() for name, probe in probes.items()}
    wait(asked.values(), timeout=seconds)
    return {name: _found(probes[name], future) for name, future in asked.items()}


def _found(probe: Probe, asked: Future[Finding]) -> Finding:
    if not asked.done():
        return unwell("hangs", "It does not answer in time.", age_seconds=probe.age_seconds())
    found = asked.result()
    if found.age_seconds is not None:
        return found
    return unwell(found.word, found.detail, age_seconds=probe.age_seconds())
