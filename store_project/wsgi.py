from __future__ import annotations

import os

import django

from store_project.hostile_headers import ReadableHandler, readable_bodies

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "store_project.settings")

django.setup(set_prefix=False)
application = readable_bodies(ReadableHandler())
