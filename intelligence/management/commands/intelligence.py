"""Looks at the work on images and steers it. What it does lies in figures, story, redo and pauses."""

from __future__ import annotations

import json
import os
from argparse import ArgumentParser
from collections.abc import Iterable
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone
from tqdm import tqdm

from intelligence import figures, pauses, redo, story
from intelligence.redo import Selection
from intelligence.vocabulary import Priority, TaskType

NOT_FOUND, BAD_USAGE = 1, 2
TASKS = [task.value for task in TaskType]


class Command(BaseCommand):
    help = (
        "Looks at the work on images and steers it; it can run beside the store. "
        "Exit code: 0 done, also where there was nothing to do; 1 a named entity is not there; 2 bad usage."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        commands = parser.add_subparsers(dest="subcommand", required=True)

        def add(name: str, text: str) -> ArgumentParser:
            return commands.add_parser(name, help=text, description=text)

        status = add("status", "How many images are where, how fast it goes, who works, what is paused.")
        status.add_argument("--json", action="store_true", help="for scripts")
        _add_retry(add("retry", "Tries what has failed once more, after what waits for the first time."))
        _add_reprocess(
            add(
                "reprocess",
                "Has images looked at again, behind all other work. Results so far are found and searched "
                "until the new ones replace them.",
            )
        )
        pause = add("pause", "Hands no further job of a task to compute; survives restarts.")
        pause.add_argument("task", choices=TASKS)
        pause.add_argument("--by", default=os.environ.get("USER"), help="who it was (%(default)s)")
        resume = add("resume", "Ends a pause: what waited is sent.")
        resume.add_argument("task", choices=TASKS)
        explain = add("explain", "The whole story of an image, and what it waits for.")
        explain.add_argument("entity", type=int, metavar="ENTITY", help="its id")
        explain.add_argument("--json", action="store_true", help="for scripts")

    def handle(self, *, subcommand: str, **options: Any) -> None:
        getattr(self, f"_{subcommand}")(options)

    def _status(self, options: dict[str, Any]) -> None:
        found = figures.read_figures()
        if options["json"]:
            self._write_json(figures.as_json(found))
            return
        self.stdout.write(f"worker: {found.worker.status}, last heard {found.worker.timestamp:%F %T} UTC")
        if found.workers:
            self.stdout.write(f"workers: {', '.join(found.workers)}")
        self.stdout.write(f"images: {_in_words(found.images)}")
        for task in found.tasks:
            self.stdout.write(f"{task.task}: {_in_words(task.images)}")
            for line in _details(task):
                self.stdout.write(f"    {line}")
        if found.can:
            self.stdout.write(f"models: {found.can}")
        for model in found.models:
            self.stdout.write(f"model of {figures.model_in_words(model)}")

    def _retry(self, options: dict[str, Any]) -> None:
        if not (options["failed"] or options["entity"] or options["error_like"]):
            raise CommandError("Say what: --failed, --entity or --error-like.", returncode=BAD_USAGE)
        tasks = _tasks(options) or list(TaskType)
        ids = options["entity"] or None
        self._ask_again(
            [redo.failed(task, entity_ids=ids, error_like=options["error_like"] or "") for task in tasks],
            Priority.BACKFILL,
            options,
        )

    def _reprocess(self, options: dict[str, Any]) -> None:
        tasks = _tasks(options)
        if options["missing"]:
            chosen = [redo.missing(task) for task in tasks]
        else:
            ids = options["entity"] or None
            chosen = [redo.all_ended(task, entity_ids=ids) for task in tasks]
        self._ask_again(chosen, Priority.REDO, options)

    def _ask_again(self, chosen: Iterable[Selection], priority: Priority, options: dict[str, Any]) -> None:
        _require_rows(options["entity"] or [])
        for selection in chosen:
            total = selection.count()
            if options["dry_run"]:
                self.stdout.write(f"{selection.task}: {total} images would be asked for again")
                continue
            asked = 0
            with tqdm(total=total, desc=selection.task, unit="image", disable=None) as bar:
                for number in redo.ask_again(selection, priority):
                    asked += number
                    bar.update(number)
            self.stdout.write(f"{selection.task}: {asked} images are asked for again")

    def _pause(self, options: dict[str, Any]) -> None:
        task = TaskType(options["task"])
        new = pauses.pause(task, by=options["by"])
        told = "is paused; jobs that compute has already are finished" if new else "was paused already"
        self.stdout.write(f"{task} {told}")

    def _resume(self, options: dict[str, Any]) -> None:
        task = TaskType(options["task"])
        self.stdout.write(f"{task} {'goes on' if pauses.resume(task) else 'was not paused'}")

    def _explain(self, options: dict[str, Any]) -> None:
        told = story.tell(options["entity"])
        if told is None:
            raise CommandError(f"There is no entity {options['entity']}.", returncode=NOT_FOUND)
        if options["json"]:
            self._write_json(story.as_json(told))
        else:
            self.stdout.write("\n".join(story.in_words(told)))

    def _write_json(self, value: dict[str, Any]) -> None:
        self.stdout.write(json.dumps(value, indent=2))


def _add_retry(parser: ArgumentParser) -> None:
    parser.add_argument("--failed", action="store_true", help="everything that has failed")
    parser.add_argument("--entity", type=int, nargs="+", metavar="ID", help="only these images")
    parser.add_argument("--error-like", metavar="TEXT", help="only where the reason contains this text")
    parser.add_argument("--task", choices=TASKS, nargs="+", help="only these tasks (all)")
    parser.add_argument("--dry-run", action="store_true", help="say how many; change nothing")


def _add_reprocess(parser: ArgumentParser) -> None:
    parser.add_argument("--task", choices=TASKS, nargs="+", required=True)
    which = parser.add_mutually_exclusive_group(required=True)
    which.add_argument("--missing", action="store_true", help="images without a result of the task")
    which.add_argument("--all", action="store_true", help="every image, whatever is there")
    which.add_argument("--entity", type=int, nargs="+", metavar="ID", help="these images, whatever is there")
    parser.add_argument("--dry-run", action="store_true", help="say how many; change nothing")


def _tasks(options: dict[str, Any]) -> list[TaskType]:
    return [TaskType(name) for name in options["task"] or ()]


def _require_rows(entity_ids: list[int]) -> None:
    if unknown := redo.unknown(entity_ids):
        named = ", ".join(map(str, sorted(unknown)))
        raise CommandError(f"Nothing is known of these as images: {named}.", returncode=NOT_FOUND)


def _in_words(counts: Any) -> str:
    return ", ".join(f"{number} {status}" for status, number in counts.items() if number) or "none"


def _details(task: figures.TaskFigures) -> Iterable[str]:
    if task.paused_at is not None:
        yield f"paused since {task.paused_at:%F %T} UTC by {task.paused_by or 'somebody'}"
    if task.outstanding:
        yield f"jobs under way: {_in_words(task.outstanding)}"
    if task.oldest_waiting is not None:
        yield f"the oldest has waited for {timezone.now() - task.oldest_waiting}"
    if any(task.ended_per_minute.values()):
        rates = (f"{rate:.1f} in the last {minutes}" for minutes, rate in task.ended_per_minute.items())
        yield f"ended per minute: {', '.join(rates)} minutes"
