"""Breaks each guard of pipeline and operations, in a copy, and sees the test that is there for it fail.

    python -m tests.guards

Needs PostgreSQL on 127.0.0.1 for some. Exit code 0: every guard has a test that notices its loss.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from store_project.config import BASE_DIR
from tests.deployment import own_database


@dataclass(frozen=True)
class Guard:
    name: str
    file: str
    line: str
    broken: str
    test: str
    on_postgresql: bool = False


RECOGNITION = "tests/intelligence/recognition"
PIPELINE = "tests/intelligence/test_pipeline.py"
AUDIT = "tests/intelligence/test_audit.py"
BACKUP = "tests/end_to_end/test_backup.py"
GUARDS = [
    Guard(
        "two faces of a photo are never one person",
        "intelligence/recognition/deciding.py",
        "            self.taken.add(person)",
        "            pass",
        f"{RECOGNITION}/test_deciding.py"
        "::test_of_one_photo_the_closer_one_wins_and_the_other_is_somebody_else",
    ),
    Guard(
        "who speaks as before is not heard again",
        "intelligence/recognition/deciding.py",
        "        speaks_anew = role is Role.CORE and person != seen.spoke_for",
        "        speaks_anew = role is Role.CORE",
        f"{RECOGNITION}/test_recogniser.py::test_photos_with_a_reflection_come_to_rest",
    ),
    Guard(
        "who is about as close takes nobody's place",
        "intelligence/recognition/deciding.py",
        "closeness + self.rules.margin",
        "closeness",
        f"{RECOGNITION}/test_deciding.py::test_who_is_about_as_close_does_not_take_the_place",
    ),
    Guard(
        "of two photos of somebody new one is looked at after the other",
        "intelligence/recognition/recogniser.py",
        "locks.hold(LOCK)",
        "pass",
        f"{RECOGNITION}/test_races.py::test_who_recognises_waits_for_who_is_at_it",
        on_postgresql=True,
    ),
    Guard(
        "what was decided goes over to the face that is found again",
        "intelligence/people/carrying.py",
        'FaceDecision.objects.bulk_update(decisions, ["face", "bbox"])',
        "pass",
        "tests/intelligence/people/test_redetection.py::test_who_they_are_goes_over",
    ),
    Guard(
        "an undo gives each face back to whom it had",
        "intelligence/people/undoing.py",
        "self.journal.set_faces(faces, **before)",
        "pass",
        "tests/intelligence/people/test_undo.py::test_everything_is_as_it_was",
    ),
    Guard(
        "reading history leaves time to the work",
        "intelligence/reconcile.py",
        "if len(changes) < self.batch_size:",
        "if False:",
        "tests/intelligence/test_reconcile.py::test_what_keeps_coming_is_for_the_next_pass",
    ),
    Guard(
        "following marks leaves time to the work",
        "intelligence/upkeep.py",
        "return bool(above) or len(found) == BATCH_SIZE",
        "return True",
        "tests/intelligence/test_upkeep.py::test_what_keeps_coming_is_for_the_next_task",
    ),
    Guard(
        "the cursor waits for open transactions",
        "intelligence/reconcile.py",
        'if connection.vendor != "postgresql":',
        "if True:",
        "tests/intelligence/test_commit_order.py::test_what_commits_late_is_not_passed_over",
        on_postgresql=True,
    ),
    Guard(
        "the cursor moves with the work, not before it",
        "intelligence/reconcile.py",
        "self._apply(_last_of_each_entity(changes))",
        "pass",
        "tests/intelligence/test_reconcile.py::test_it_works",
    ),
    Guard(
        "a result of older content is not wanted",
        "intelligence/callbacks.py",
        "and content.get(job.entity_id) == job.md5",
        "",
        f"{PIPELINE}::test_a_result_of_older_content_leaves_no_trace",
    ),
    Guard(
        "only a live job, and the same, is moved",
        "intelligence/rows.py",
        'if ids.get(job.pk, "") == job.job_id',
        "if True",
        "tests/intelligence/test_remote_pipeline.py::test_late_news_of_a_job_that_was_handed_in_again",
    ),
    Guard(
        "a run is claimed by one worker",
        "intelligence/rows.py",
        "filter(job_id__in=job_ids, status=JobStatus.QUEUED)",
        "filter(job_id__in=job_ids)",
        "tests/intelligence/test_batches.py::test_another_delivery_of_the_same_ids_runs_nothing",
    ),
    Guard(
        "the vector is written before the status",
        "intelligence/callbacks.py",
        "came_along = self.appliers[task].apply(of_task, facts)",
        "came_along = transaction.on_commit(partial(self.appliers[task].apply, of_task, facts)) or {}",
        f"{PIPELINE}::test_a_store_that_is_away_changes_nothing",
    ),
    Guard(
        "attempts are capped",
        "intelligence/runs.py",
        "if job.attempts >= max_attempts:",
        "if False:",
        f"{PIPELINE}::test_an_image_that_kills_its_worker_is_given_up",
    ),
    Guard(
        "a fresh upload goes before a backlog",
        "intelligence/jobs.py",
        'order_by("-priority", "pk")',
        'order_by("pk")',
        "tests/intelligence/test_dispatch.py::test_a_fresh_upload_goes_before_a_backlog",
    ),
    Guard(
        "no more is handed out than the cap",
        "intelligence/jobs.py",
        "room = min(self.max_outstanding - outstanding.get(task, 0), BATCH_SIZE)",
        "room = BATCH_SIZE",
        "tests/intelligence/test_dispatch.py::test_an_import_drains_to_the_last_with_few_outstanding",
    ),
    Guard(
        "a paused task is not handed out",
        "intelligence/jobs.py",
        "tasks = [task for task in TaskType if task not in paused]",
        "tasks = list(TaskType)",
        "tests/intelligence/test_dispatch.py::test_a_paused_task_waits_and_the_others_go_on",
    ),
    Guard(
        "a job that a service never begins with is taken back",
        "intelligence/callbacks.py",
        "if timezone.now() - handed_in > self.queue_deadline:",
        "if False:",
        "tests/intelligence/test_polling.py"
        "::test_a_job_that_only_waits_there_is_taken_back_and_handed_in_again",
    ),
    Guard(
        "of two who poll, one asks about a job",
        "intelligence/polling.py",
        "filter(pk=job.pk, status=job.status, not_before=job.not_before)",
        "filter(pk=job.pk)",
        "tests/intelligence/test_polling.py::test_two_pollers_ask_once",
    ),
    Guard(
        "a token that is refused is replaced",
        "intelligence/compute/remote.py",
        "if answer.status == _UNAUTHORISED and self._tokens and token:",
        "if False:",
        "tests/contracts/remote/test_login.py::test_a_token_that_is_refused_is_replaced",
    ),
    Guard(
        "what a detection that died has left is looked for",
        "intelligence/forget.py",
        "        self.face.delete_of_entities(entity_ids)\n        if not face_ids:",
        "        self.face.delete(face_ids)\n        if not face_ids:",
        f"{PIPELINE}::test_what_a_detection_that_died_has_left_goes",
    ),
    Guard(
        "nor is it left on an image in the trash",
        "intelligence/reconcile.py",
        "self.forgetter.forget_unowned_faces(trashed)",
        "pass",
        f"{PIPELINE}::test_it_goes_too_where_the_image_is_in_the_trash_by_then",
    ),
    Guard(
        "an image is completed only when its faces are",
        "intelligence/rows.py",
        "return row.face_detection_status == JobStatus.FAILED or faces in ENDED",
        "return True",
        "tests/intelligence/test_dispatch.py::test_resume_sends_what_waited",
    ),
    Guard(
        "what was found on older content is forgotten",
        "intelligence/reconcile.py",
        "self._forget([change.id for change in new_content if change.id in known])",
        "ImageIntelligence.objects.filter(pk__in=[change.id for change in new_content]).delete()",
        "tests/intelligence/test_reconcile.py::test_new_content_forgets_what_was_found_on_the_old",
    ),
    Guard(
        "an audit leaves alone what is young",
        "entities/audit/findings.py",
        "return moment < self.settled_before and",
        "return",
        f"{AUDIT}::test_what_is_young_is_left_alone",
    ),
    Guard(
        "what an audit finds is looked at once more under its lock",
        "entities/audit/mending.py",
        "still_so=not is_named",
        "still_so=True",
        f"{AUDIT}::test_what_belongs_to_somebody_by_now_is_not_mended",
    ),
    Guard(
        "the vector of a face about to be committed is no orphan",
        "intelligence/audit/errands.py",
        "Entity.all_rows.select_for_update(no_key=True).filter(pk=entity_id).first()",
        "pass",
        "tests/intelligence/test_audit_races.py::test_a_vector_whose_face_is_about_to_be_committed_stays",
        on_postgresql=True,
    ),
    Guard(
        "an audit puts files away, and deletes none",
        "entities/quarantine.py",
        "source.rename(path)",
        "source.unlink()",
        f"{AUDIT}::test_files_go_into_quarantine_and_from_there_in_the_end",
    ),
    Guard(
        "a backup has its name only when it is whole",
        "store_project/backup/making.py",
        'folder = snapshots / f"{UNFINISHED}{name}"',
        "folder = snapshots / name",
        f"{BACKUP}::test_a_disk_that_is_full_at_any_moment_leaves_no_half_backup",
    ),
    Guard(
        "no file goes while a backup copies",
        "entities/disposal.py",
        "if holding.is_held():",
        "if False:",
        "tests/entities/test_disposal.py::test_while_files_are_held_none_goes",
    ),
    Guard(
        "a backup is compared with its hashes before it is put back",
        "store_project/backup/restoring.py",
        'if _sha256(backup.source / "files" / each["path"]) != each["sha256"]:',
        "if False:",
        f"{BACKUP}::test_a_backup_that_is_damaged_touches_nothing",
    ),
    Guard(
        "what waits for an MQTT broker is bounded",
        "intelligence/broadcast.py",
        "if len(self._items) + len(self._subjects) < MOST_NOTES:",
        "if True:",
        "tests/intelligence/test_broadcast.py::test_a_broker_that_is_away_holds_nobody_up",
    ),
    Guard(
        "what a compute service says too fast is dropped",
        "intelligence/listener.py",
        "if job_id not in self._waiting and len(self._waiting) >= MOST_WAITING:",
        "if False:",
        "tests/intelligence/test_listener.py::test_a_flood_is_bounded",
    ),
    Guard(
        "an MQTT connection that is not noted any more is not well",
        "store_project/readiness.py",
        "if age > mqtt_clock.SILENT_SECONDS:",
        "if False:",
        "tests/store_project/test_health.py::test_mqtt_is_well_while_its_announcer_is_connected",
    ),
    Guard(
        "of processes that write to SQLite none goes twice while another waits",
        "store_project/sqlite/door.py",
        "if self._next.take(deadline):",
        "if True:",
        "tests/store_project/test_sqlite_door.py::test_who_leaves_and_comes_again_stands_behind_who_waits",
    ),
    Guard(
        "a million waiting images are counted by an index alone",
        "store_project/standing.py",
        '"processing_status") for status',
        '"pk") for status',
        "tests/store_project/test_metrics.py::test_what_waits_is_counted_by_indexes_alone",
    ),
    Guard(
        "a page loads and runs what is ours alone",
        "store_project/content_policy.py",
        "response.headers.setdefault(HEADER, POLICY)",
        "pass",
        "tests/store_project/test_content_policy.py::test_every_answer_has_it",
    ),
    Guard(
        "what Django itself refuses is told as everything is",
        "store_project/urls.py",
        'handler400 = "store_project.error_pages.bad_request"',
        'handler400 = "django.views.defaults.bad_request"',
        "tests/store_project/test_errors.py::test_outside_the_api_too",
    ),
    Guard(
        "browsers find the icon",
        "store_project/settings.py",
        'WHITENOISE_ROOT = Path(__file__).parent / "at_root"',
        'WHITENOISE_ROOT = ""',
        "tests/store_project/test_content_policy.py::test_the_icon",
    ),
]


def main() -> int:
    with tempfile.TemporaryDirectory(prefix="store-guards-") as name:
        copy = Path(name) / "store"
        _copy_to(copy)
        missed = [guard for guard in GUARDS if not _is_noticed(guard, copy)]
    for guard in missed:
        print(f"NOT NOTICED: {guard.name} ({guard.test})")
    print(f"{len(GUARDS) - len(missed)} of {len(GUARDS)} broken guards were noticed")
    return 1 if missed else 0


def _copy_to(copy: Path) -> None:
    left_out = shutil.ignore_patterns(".*", "data", "demo-data", "__pycache__")
    shutil.copytree(BASE_DIR, copy, ignore=left_out)


def _is_noticed(guard: Guard, copy: Path) -> bool:
    file = copy / guard.file
    whole = file.read_text()
    assert whole.count(guard.line) == 1, f"{guard.file} has no single {guard.line!r}"
    file.write_text(whole.replace(guard.line, guard.broken))
    try:
        status = _run(guard, copy)
    finally:
        file.write_text(whole)
    print(f"{guard.name}: {'noticed' if status == 1 else f'pytest ended with {status}'}", flush=True)
    return status == 1  # "tests failed", not "could not run"


def _run(guard: Guard, copy: Path) -> int:
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", guard.test]
    if not guard.on_postgresql:
        return _pytest(command, copy, {})
    with own_database() as url:
        return _pytest([*command, "--create-db"], copy, {"TEST_DATABASE_URL": url})


def _pytest(command: list[str], copy: Path, env: dict[str, str]) -> int:
    # The tests choose their settings themselves; importing the Celery app has named them here.
    own = {name: value for name, value in os.environ.items() if name != "DJANGO_SETTINGS_MODULE"}
    return subprocess.run(command, cwd=copy, env={**own, **env}, check=False, capture_output=True).returncode


if __name__ == "__main__":
    sys.exit(main())
