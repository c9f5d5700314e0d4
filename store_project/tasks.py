"""The Celery tasks of what belongs to no app below."""

from __future__ import annotations

from celery import shared_task

from store_project import logins


@shared_task
def forget_logins(*_later: object) -> None:
    logins.forget_old()
