"""Django's SQLite backend, with writers that take turns. Named as ENGINE in the settings."""

from __future__ import annotations
