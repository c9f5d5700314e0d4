"""As many people and faces as a household of photographers has, put in with SQL: rows only, no files."""

from __future__ import annotations

from django.db import connection
from django.utils import timezone

from entities.models import Entity
from intelligence.models import KnownPerson

PEOPLE, FACES, PHOTOS = 5_000, 100_000, 2_000

_NUMBERS = "WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i + 1 < %s)"
_FACES = """
INSERT INTO intelligence_face (entity_id, bbox, landmarks, confidence, quality, file_path, model,
                               known_person_id, assigned_by, standing, created_at)
{numbers}
SELECT %s + i %% {photos}, {none}, {none}, 0.9, (i * 7 %% 1000) / 1000.0, '', 'detector',
       %s + (CASE WHEN i < {people} THEN i ELSE (i %% 331) * (i %% 331) %% {people} END), 'auto', 'core', %s
FROM n
"""


def put_many() -> list[int]:
    """Everybody has a face; a few have thousands, as in a family. The ids of the people."""
    now = timezone.now()
    photos = Entity.objects.bulk_create(
        Entity(
            is_collection=False,
            type="image",
            md5=f"{number:032}",
            file_path=f"{number}.jpg",
            added_date=now,
            updated_date=now,
        )
        for number in range(PHOTOS)
    )
    people = KnownPerson.objects.bulk_create(
        KnownPerson(name=f"Person {number}" if number % 3 else None) for number in range(PEOPLE)
    )
    none = "CAST('{}' AS jsonb)" if connection.vendor == "postgresql" else "'{}'"
    insert = _FACES.format(numbers=_NUMBERS, photos=PHOTOS, people=PEOPLE, none=none)
    with connection.cursor() as cursor:
        cursor.execute(insert, [FACES, photos[0].pk, people[0].pk, now])
        cursor.execute("ANALYZE")
    return [person.pk for person in people]
