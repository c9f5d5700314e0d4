"""The models that images are looked at with. What it does lies in pulling, using_models and compute/onnx."""

from __future__ import annotations

import json
import os
from argparse import ArgumentParser, RawDescriptionHelpFormatter
from collections.abc import Iterable
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from intelligence.compute.onnx.checking import Verdict, check
from intelligence.compute.onnx.errors import ModelFileError
from intelligence.compute.onnx.installed import find, installed
from intelligence.model_entries import REGISTRY
from intelligence.model_registry import ModelEntry
from intelligence.pulling import ConsentError, PullError, is_whole, plan, pull, require_consent
from intelligence.vocabulary import TaskType
from store_project import model_overview
from store_project.config import MInsightConfig, load

REFUSED, BAD_USAGE, WRONG_FILES, NEEDS_CONSENT = 1, 2, 3, 4

DESCRIPTION = """\
The models that images are looked at with. Without any, built-in classical vision answers.

  models list             what is in use and what it can do; what is installed; what else is known
  models pull NAME        fetches a known model, checks it, and only then shows it in the models folder
  models pull --default   the proposed set, free to use for anything
  models verify           compares the files with their known hashes
  models use NAME         looks at images with it from now on

Models can be copied into the models folder (MODELS_DIR) by hand as well: folders as Immich and
transformers.js have them, Immich's whole cache, or bare ONNX files.

`use` needs no restart: every worker follows within seconds. With a new detector faces are looked for again. A
new embedder first gets vectors of everything in the background, while searches read the one before; then
`manage.py reembed --task ... --switch`, or at once with --switch-when-done.

`pull` is the only thing here that downloads. It heeds HF_ENDPOINT (a mirror), HF_TOKEN, HF_HUB_OFFLINE.

Exit code: 0 done; 1 refused, nothing has changed, the message says why; 2 bad usage; 3 files are missing or
not what they should be; 4 a licence has to be accepted first."""


class Command(BaseCommand):
    help = DESCRIPTION

    def create_parser(self, *arguments: Any, **options: Any) -> Any:
        return super().create_parser(*arguments, **options, formatter_class=RawDescriptionHelpFormatter)

    def add_arguments(self, parser: ArgumentParser) -> None:
        commands = parser.add_subparsers(dest="subcommand", required=True)

        def add(name: str, text: str) -> ArgumentParser:
            return commands.add_parser(name, help=text, description=text)

        listing = add("list", "What is in use, installed, and known.")
        listing.add_argument("--json", action="store_true", help="for scripts")
        _add_pull(add("pull", "Fetches known models from the hub."))
        verify = add("verify", "Compares the files of installed models with their known hashes.")
        verify.add_argument("name", nargs="*", metavar="NAME", help="only these (all)")
        _add_use(add("use", "Looks at images with an installed model; `baseline` is the built-in one."))

    def handle(self, *, subcommand: str, **options: Any) -> None:
        self.config = load(MInsightConfig)
        try:
            getattr(self, f"_{subcommand}")(options)
        except ConsentError as error:
            raise CommandError(str(error), returncode=NEEDS_CONSENT) from error
        except (PullError, ModelFileError) as error:
            raise CommandError(str(error), returncode=REFUSED) from error

    def _list(self, options: dict[str, Any]) -> None:
        overview = model_overview.read(self.config)
        if options["json"]:
            self.stdout.write(json.dumps(model_overview.as_json(overview), indent=2))
        else:
            self.stdout.write("\n".join(model_overview.in_words(overview)))

    def _pull(self, options: dict[str, Any]) -> None:
        entries = [_entry(name) for name in options["name"]]
        entries += [each for each in REGISTRY.defaults() if options["default"] and each not in entries]
        if not entries:
            raise CommandError("Say which: a NAME of `models list`, or --default.", returncode=BAD_USAGE)
        for entry in entries:
            require_consent(entry, options["accept_license"])
        for entry in entries:
            self._pull_one(entry, dry_run=options["dry_run"])

    def _pull_one(self, entry: ModelEntry, *, dry_run: bool) -> None:
        folder = self.config.models_root
        if is_whole(entry, folder):
            self.stdout.write(f"{entry.name} is installed already.")
            return
        planned = plan(entry)
        size = f"{planned.size / 1e6:,.1f} MB"
        self.stdout.write(f"{entry.name}: {size} of {entry.repository} at {planned.commit[:12]}")
        self.stdout.write(f"licence {entry.licence.name}: {entry.licence.summary} ({entry.licence.read_at})")
        for line in planned.guarantees():
            self.stdout.write(f"  {line}")
        if not dry_run:
            target = pull(planned, folder)
            self.stdout.write(f"{entry.name} is in {target}. Look at images with it: models use {entry.name}")

    def _verify(self, options: dict[str, Any]) -> None:
        folder = self.config.models_root
        models = [find(folder, name) for name in options["name"]] or installed(folder)
        bad = 0
        for model in models:
            for each in check(model):
                self.stdout.write(f"{model.name}: {each.path} {each.words}")
                bad += each.verdict in (Verdict.WRONG, Verdict.MISSING)
        if bad:
            raise CommandError(f"{bad} files are missing or wrong.", returncode=WRONG_FILES)

    def _use(self, options: dict[str, Any]) -> None:
        # Here, so that the other subcommands need no model runtime.
        from store_project import model_use  # noqa: PLC0415

        tasks = [TaskType(name) for name in options["task"] or ()]
        try:
            lines = model_use.use(
                self.config,
                options["name"],
                tasks,
                family=options["family"] or "",
                by=options["by"],
                switch_when_done=options["switch_when_done"],
            )
            for line in lines:
                self.stdout.write(line)
        except model_use.UseError as error:
            raise CommandError(str(error), returncode=REFUSED) from error


def _add_pull(parser: ArgumentParser) -> None:
    parser.add_argument("name", nargs="*", metavar="NAME", help="as `models list` has it")
    parser.add_argument("--default", action="store_true", help="the proposed set")
    parser.add_argument(
        "--accept-license",
        action="append",
        default=[],
        metavar="LICENCE",
        help="its name; for models that may not be used for anything",
    )
    parser.add_argument("--dry-run", action="store_true", help="say what would be fetched")


def _add_use(parser: ArgumentParser) -> None:
    parser.add_argument("name", metavar="NAME", help="of an installed model, or `baseline`")
    parser.add_argument("--task", nargs="+", choices=_values(TaskType), help="only these (all that it does)")
    parser.add_argument(
        "--family",
        choices=("arcface", "sface", "imagenet"),
        help="how a face model that nobody knows is fed (arcface)",
    )
    parser.add_argument(
        "--switch-when-done", action="store_true", help="have searches read it once nothing is missing"
    )
    parser.add_argument("--by", default=os.environ.get("USER"), help="who it was (%(default)s)")


def _values(words: Iterable[TaskType]) -> list[str]:
    return [word.value for word in words]


def _entry(name: str) -> ModelEntry:
    entry = REGISTRY.named(name)
    if entry is None:
        known = ", ".join(each.name for each in REGISTRY.entries)
        raise CommandError(f"No model is known as {name!r}; known are {known}.", returncode=BAD_USAGE)
    return entry
