"""Taking a model into use: its choice is written down, and what was found with another is found again."""

from __future__ import annotations

from enum import StrEnum

from django.db import transaction

from intelligence import model_choices, model_versions
from intelligence.compute.local import LocalComputeClient
from intelligence.model_choices import Choice
from intelligence.model_versions import KINDS, State, VersionError
from intelligence.processing import IntelligenceProcessingService
from intelligence.vocabulary import TaskType


class Outcome(StrEnum):
    ACTIVE = "active"
    """Nothing has to be done again."""
    FILLING = "filling"
    """Images are looked at with it too; searches read the model before until one switches."""
    REPLACED = "replaced"
    """It answers at once; what was found before it is to be found again."""


def take_up(processing: IntelligenceProcessingService, choice: Choice, *, by: str | None) -> Outcome:
    """All or nothing. Raises VersionError, and ComputeError where files of another chosen model are gone."""
    client = processing.client
    assert isinstance(client, LocalComputeClient)
    before = client.capabilities().models[choice.task].name
    try:
        with transaction.atomic():
            kept = model_versions.kept().filter(task_type=choice.task)
            model_choices.choose(choice, keep=kept.values_list("model", flat=True), by=by)
            client.look_again()
            if choice.task in KINDS:
                return _begin(processing, choice, by=by)
            return Outcome.ACTIVE if before == choice.model else Outcome.REPLACED
    finally:
        client.look_again()  # also where it was taken back


def _begin(processing: IntelligenceProcessingService, choice: Choice, *, by: str | None) -> Outcome:
    models = processing.jobs.models
    if model_versions.of_task(choice.task)[0] is None:
        return Outcome.ACTIVE  # nothing was ever looked at: the first image finds it leading
    if models.wanted()[choice.task][0] == choice.model:
        return Outcome.ACTIVE
    models.begin(choice.task, choice.model, by=by)
    _, other = model_versions.of_task(choice.task)
    assert other is not None
    if not model_versions.progress(other).total:
        model_versions.switch(choice.task, by=by)
        return Outcome.ACTIVE
    return Outcome.FILLING


def switch_those_done() -> list[TaskType]:
    """Where it was asked for, searches read the new model once it has a vector of everything."""
    return [
        choice.task
        for choice in model_choices.read()
        if choice.switch_when_done and choice.task in KINDS and _switch_if_done(choice)
    ]


def _switch_if_done(choice: Choice) -> bool:
    _, other = model_versions.of_task(choice.task)
    if other is None or (other.model, other.state) != (choice.model, State.FILLING):
        model_choices.switched(choice.task)  # a person has decided otherwise meanwhile
        return False
    if model_versions.progress(other).missing:
        return False
    try:
        with transaction.atomic():
            model_versions.switch(choice.task, by="models use --switch-when-done")
            model_choices.switched(choice.task)
    except VersionError:  # one more image has come meanwhile
        return False
    return True
