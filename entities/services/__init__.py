"""The only writers of entities: each change is one transaction, with its version and its signal.

Locks are taken in one order: the hierarchy, then a content, then rows by id.
"""

from __future__ import annotations

from entities.services.changing import Changes, patch_entity, replace_entity, restore_version
from entities.services.creating import StoredEntity, create_collection, create_entity
from entities.services.removing import carry_on, purge_trash, remove_entity

__all__ = [
    "Changes",
    "StoredEntity",
    "carry_on",
    "create_collection",
    "create_entity",
    "patch_entity",
    "purge_trash",
    "remove_entity",
    "replace_entity",
    "restore_version",
]
