"""Models that follow what is chosen, without a restart."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import NamedTuple

from intelligence.compute.base import ChosenModel, ComputeError, ComputeUnavailableError, ReadChosen
from intelligence.compute.model_set import ModelSet

logger = logging.getLogger(__name__)

FOLLOW_SECONDS = 2.0
"""So long a process may go on with the models that were chosen before."""

BuildModels = Callable[[tuple[ChosenModel, ...]], ModelSet]


class InUse(NamedTuple):
    chosen: tuple[ChosenModel, ...] | None
    """None as long as nobody could ever tell."""
    models: ModelSet


class FollowingModels:
    """Looks at what is chosen every few seconds of its use, and becomes that.

    What is chosen at first has to be there, or nothing starts. Later, what cannot be opened is told in the
    log, and the models before stay in use: to go without would have the store fall back on others by itself.
    """

    def __init__(
        self,
        read_chosen: ReadChosen,
        build: BuildModels,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._read_chosen = read_chosen
        self._build = build
        self._clock = clock
        self._lock = threading.Lock()
        self._refused: tuple[ChosenModel, ...] | None = None
        self._looked_at = clock()
        self._in_use = InUse(None, build(()))  # what is wrong with the settings shows at once
        with suppress(ComputeUnavailableError):
            self._become(read_chosen())

    def now(self) -> ModelSet:
        return self.in_use().models

    def in_use(self) -> InUse:
        """ComputeUnavailableError as long as nobody could ever tell what is chosen."""
        if self._in_use.chosen is None:
            self.look_again()
        elif self._clock() - self._looked_at >= FOLLOW_SECONDS and self._lock.acquire(blocking=False):
            try:  # whoever comes meanwhile goes on with the models before
                with suppress(ComputeUnavailableError):
                    self._follow()
            finally:
                self._lock.release()
        return self._in_use

    def look_again(self) -> None:
        with self._lock:
            self._follow()

    def _follow(self) -> None:
        self._looked_at = self._clock()
        chosen = self._read_chosen()
        if chosen in (self._in_use.chosen, self._refused):
            return
        try:
            self._become(chosen)
        except ComputeError:
            if self._in_use.chosen is None:
                raise
            self._refused = chosen
            logger.exception("The models that were chosen cannot be used; those before stay in use")

    def _become(self, chosen: tuple[ChosenModel, ...]) -> None:
        self._in_use = InUse(chosen, self._build(chosen))
        self._refused = None
        logger.info("Models in use: %s", self._in_use.models.capabilities().summary)
