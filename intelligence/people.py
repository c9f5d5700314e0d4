"""What users decide about people."""

from __future__ import annotations

from django.db import transaction

from intelligence.models import KnownPerson


@transaction.atomic
def rename(*, person_id: int, name: str, by: str | None) -> KnownPerson:
    """Raises KnownPerson.DoesNotExist. The name that the person has already makes no new version."""
    person = KnownPerson.objects.select_for_update().get(pk=person_id)
    if person.name != name:
        person.name = name
        # simple_history's way to say who.
        person._history_user = by  # type: ignore[attr-defined]  # noqa: SLF001
        person.save(update_fields=["name", "updated_at"])
    return person
