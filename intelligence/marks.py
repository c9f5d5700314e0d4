"""Noting what has changed, in the transaction that changes it, so that what is kept elsewhere follows.

Only ever added to here: whoever notes waits for nobody. Whoever has followed a mark removes it (upkeep.py).
"""

from __future__ import annotations

from collections.abc import Iterable

from django.db import connection, transaction

from intelligence import hints
from intelligence.models import UpkeepMark

_BELOW = """
INSERT INTO intelligence_upkeepmark (entity_id)
SELECT e.id FROM entities_entity e
WHERE e.parent_id = %s AND (e.is_collection OR EXISTS (
    SELECT 1 FROM intelligence_imageintelligence i WHERE i.entity_id = e.id
))
"""


def note(entity_ids: Iterable[int]) -> None:
    """Of a collection it means all that lies below it."""
    made = [UpkeepMark(entity_id=pk) for pk in sorted(set(entity_ids))]
    if made:
        UpkeepMark.objects.bulk_create(made, batch_size=1000)
        transaction.on_commit(hints.upkeep)


def note_children(collection_id: int) -> None:
    """However many there are: none of them passes through this process."""
    with connection.cursor() as cursor:
        cursor.execute(_BELOW, [collection_id])
