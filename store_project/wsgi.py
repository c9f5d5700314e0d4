from __future__ import annotations

import os

from django.core.wsgi import get_wsgi_application

from store_project.hostile_headers import readable_bodies

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "store_project.settings")

application = readable_bodies(get_wsgi_application())
