"""What happens to entities, for the apps above. Sent inside the transaction of the change."""

from __future__ import annotations

from django.dispatch import Signal

media_changed = Signal()
"""Sent with `entity_id` when an entity's content, or whether it is deleted, has changed."""

content_stored = Signal()
"""Sent with `entity_id` and `md5` when an entity is made of a file, or is given one in place of its own, even
the same bytes again.
"""

entity_removed = Signal()
"""Sent with `entity_id` when an entity is removed for good."""
