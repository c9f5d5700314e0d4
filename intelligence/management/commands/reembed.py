"""Another model of embeddings, without downtime. What it does lies in model_versions and comparison."""

from __future__ import annotations

import json
import os
from argparse import ArgumentParser, RawDescriptionHelpFormatter
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from intelligence import errands, figures, model_versions
from intelligence.errand_notes import ErrandError
from intelligence.model_versions import VersionError
from intelligence.models import ModelVersionEvent
from intelligence.processing import get_processing
from intelligence.vocabulary import TaskType

REFUSED, BAD_USAGE, UNREACHABLE = 1, 2, 3
TASKS = {
    "clip": TaskType.CLIP_EMBEDDING,
    "dino": TaskType.DINO_EMBEDDING,
    "face": TaskType.FACE_EMBEDDING,
}

DESCRIPTION = """\
Changes the model of an embedding while the store is used. Vectors of two models are never compared: each
model has a collection of its own, and searches read one of them.

  reembed --task clip --model X   looks at all images with X too, behind fresh uploads; these go to both
  reembed --task clip --status    how far that is (pause it: manage.py intelligence pause clip_embedding)
  reembed --task clip --compare   how much the answers would differ
  reembed --task clip --switch    searches read X from now on; the model before is kept up to date
  reembed --task clip --rollback  searches read the model before again
  reembed --task clip --drop      ends it: removes the vectors of the model that is not read, and its work

Any of it can be said while the store runs or not; what is under way survives restarts.
Exit code: 0 done; 1 refused, nothing has changed, the message says why; 2 bad usage; 3 the vectors cannot be
reached."""


class Command(BaseCommand):
    help = DESCRIPTION

    def create_parser(self, *arguments: Any, **options: Any) -> Any:
        return super().create_parser(*arguments, **options, formatter_class=RawDescriptionHelpFormatter)

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--task", choices=TASKS, help="what the model is for")
        what = parser.add_mutually_exclusive_group(required=True)
        what.add_argument(
            "--model",
            metavar="NAME",
            help="have all images looked at with this model; said again, what has failed is tried once more",
        )
        for name, text in (
            ("status", "which models there are, and how far the second one is"),
            ("compare", "the nearest neighbours by both models: how many they share, how alike they are"),
            ("switch", "have searches read the second model; refused while it lacks vectors"),
            ("rollback", "have searches read the model before again"),
            ("drop", "remove the model that searches do not read"),
        ):
            what.add_argument(f"--{name}", action="store_true", help=text)
        parser.add_argument("--force", action="store_true", help="with --switch: with vectors missing")
        parser.add_argument("--dry-run", action="store_true", help="with --drop: say what would go")
        parser.add_argument("--json", action="store_true", help="with --status and --compare: for scripts")
        parser.add_argument("--by", default=os.environ.get("USER"), help="who it was (%(default)s)")
        parser.add_argument("--sample", type=int, default=100, help="images to compare (%(default)s)")
        parser.add_argument("--neighbours", type=int, default=10, help="of each of them (%(default)s)")
        parser.add_argument("--entity", type=int, nargs="+", metavar="ID", help="compare these (or faces)")

    def handle(self, **options: Any) -> None:
        if options["task"] is None and not options["status"]:
            raise CommandError("Say --task clip, dino or face.", returncode=BAD_USAGE)
        if options["sample"] < 1 or options["neighbours"] < 1:
            raise CommandError("--sample and --neighbours are numbers from 1 on.", returncode=BAD_USAGE)
        actions = {
            "status": self._status,
            "compare": self._compare,
            "switch": self._switch,
            "rollback": self._roll_back,
            "drop": self._drop,
        }
        chosen = next((act for name, act in actions.items() if options[name]), self._start)
        try:
            chosen(options)
        except VersionError as error:
            raise CommandError(str(error), returncode=REFUSED) from error
        except ErrandError as error:
            raise CommandError(str(error), returncode=UNREACHABLE) from error

    def _start(self, options: dict[str, Any]) -> None:
        task = TASKS[options["task"]]
        new = get_processing().jobs.models.begin(task, options["model"], by=options["by"])
        told = "is filled in the background" if new else "is being filled; what has failed is asked for again"
        self.stdout.write(f"{options['model']} {told}. See --status.")

    def _status(self, options: dict[str, Any]) -> None:
        task = TASKS.get(options["task"])
        found = [each for each in figures.read_models() if task in (None, each.task)]
        events = ModelVersionEvent.objects.filter(task_type__in=[task] if task else TaskType)
        if options["json"]:
            told = [f"{event.at.isoformat()} {event.task_type} {event} by {event.by}" for event in events]
            self.stdout.write(json.dumps({"models": list(map(figures.model_as_json, found)), "events": told}))
            return
        for each in found:
            self.stdout.write(figures.model_in_words(each))
        for event in events:
            who = event.by or "somebody"
            self.stdout.write(f"  {event.at:%F %T} UTC  {event.task_type}: {event}, by {who}")

    def _compare(self, options: dict[str, Any]) -> None:
        task = TASKS[options["task"]]
        chosen = {name: options[name] for name in ("sample", "neighbours")}
        told = errands.ask("compare", task=task.value, ids=options["entity"] or [], **chosen)
        if options["json"]:
            self.stdout.write(json.dumps(told))
            return
        shared = f"{told['overlap']:.0%} of the {told['neighbours']} neighbours of each are the same"
        self.stdout.write(f"{told['compared']} compared: {shared}")
        for which in ("current", "other"):
            self.stdout.write(f"mean score by {told[which]}: {told[f'{which}_score']:.3f}")
        unlike = (f"{pk} ({part:.0%})" for pk, part in told["most_unlike"])
        self.stdout.write(f"least alike: {', '.join(unlike)}")

    def _switch(self, options: dict[str, Any]) -> None:
        task = TASKS[options["task"]]
        now = model_versions.switch(task, by=options["by"], force=options["force"])
        self.stdout.write(f"Searches read {now.model}. Back: --rollback. When all is well: --drop.")
        self._follow()

    def _roll_back(self, options: dict[str, Any]) -> None:
        task = TASKS[options["task"]]
        now = model_versions.roll_back(task, by=options["by"])
        self.stdout.write(f"Searches read {now.model} again.")
        self._follow()

    def _drop(self, options: dict[str, Any]) -> None:
        task = TASKS[options["task"]]
        if options["dry_run"]:
            _, other = model_versions.of_task(task)
            if other is None:
                raise VersionError(f"There is no model of {task} beside the current one.")
            told = model_versions.progress(other)
            self.stdout.write(
                f"{told.done} vectors of {other.model} would go, and {told.under_way} jobs under way."
            )
            return
        gone = model_versions.drop(task, by=options["by"])
        self.stdout.write(f"{gone.model} is dropped.")
        self._follow()

    def _follow(self) -> None:
        """The rows have changed, and with them what searches read; the vector engine's own names follow."""
        try:
            errands.ask("follow", wait_seconds=10)
        except ErrandError as error:
            self.stderr.write(f"The collections follow with the next sweep of a worker: {error}")
