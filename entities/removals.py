"""What is being removed for good a slice at a time: nobody sees it any more, and it is not all gone yet.

Its rows stay where they are until their slice goes, so that a crash leaves nothing but work to go on with.
"""

from __future__ import annotations

from django.db import connection

from entities import hierarchy


def hide(root: int, *, by: str | None) -> None:
    """Itself and all below it, in one transaction with the locks of a removal."""
    with connection.cursor() as cursor:
        cursor.execute(
            f"""
            INSERT INTO entities_removal (entity_id, root, removed_by, started_at)
            {hierarchy.DOWN} SELECT id, %s, %s, CURRENT_TIMESTAMP FROM down WHERE true
            ON CONFLICT DO NOTHING
            """,  # noqa: S608  (nothing from outside)
            [root, 2 * hierarchy.MAX_DEPTH, root, by],
        )
