"""The smallest DRF project that does the same work: what the framework and the machine cost by themselves.

    bare.py FOLDER            makes the database in FOLDER
    bare.py FOLDER --port N   serves

POST /items hashes, writes and syncs a file and inserts a row; GET /items lists a table of 22 columns, page by
page, through a plain ModelSerializer; GET /items/N gets one row. The server, its threads and the pragmas of
SQLite are those of the store.
"""

from __future__ import annotations

import hashlib
import os
import secrets
import signal
from argparse import ArgumentParser, Namespace
from pathlib import Path
from typing import Any, ClassVar

import django
from cheroot.wsgi import Server
from django.conf import settings

THREADS = 8
MAX_BODY_BYTES = 10 * 1024**3


def configure(folder: Path) -> None:
    """As the store's settings in what the measurements compare; no middleware, no authentication."""
    options = {
        "transaction_mode": "IMMEDIATE",
        "timeout": 60,
        "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL;",
    }
    engine = "django.db.backends.sqlite3"
    settings.configure(
        ALLOWED_HOSTS=["*"],
        DATABASES={"default": {"ENGINE": engine, "NAME": folder / "bare.db", "OPTIONS": options}},
        DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
        FILE_UPLOAD_TEMP_DIR=str(folder),
        INSTALLED_APPS=["rest_framework"],
        MEDIA_ROOT=folder,
        REST_FRAMEWORK={"DEFAULT_AUTHENTICATION_CLASSES": [], "UNAUTHENTICATED_USER": None},
        ROOT_URLCONF=__name__,
        SECRET_KEY=secrets.token_hex(),
        USE_TZ=True,
    )
    django.setup()


def parsed_arguments() -> Namespace:
    parser = ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--port", type=int)
    return parser.parse_args()


arguments = parsed_arguments()
configure(arguments.folder)

# Django wants its settings before it is used.
from django.core.wsgi import get_wsgi_application  # noqa: E402
from django.db import connection, models  # noqa: E402
from django.urls import path  # noqa: E402
from django.utils import timezone  # noqa: E402
from rest_framework import serializers, status  # noqa: E402
from rest_framework.generics import ListAPIView, RetrieveAPIView  # noqa: E402
from rest_framework.pagination import PageNumberPagination  # noqa: E402
from rest_framework.request import Request  # noqa: E402
from rest_framework.response import Response  # noqa: E402


class Item(models.Model):
    """As many columns as an entity has in the store's answers, and what a list needs to be sorted."""

    is_collection = models.BooleanField(default=False)
    label = models.CharField(max_length=1024, null=True)
    description = models.TextField(null=True)
    parent_id = models.BigIntegerField(null=True)
    added_date = models.DateTimeField(db_index=True)
    updated_date = models.DateTimeField()
    create_date = models.DateTimeField(null=True)
    added_by = models.CharField(max_length=255, null=True)
    updated_by = models.CharField(max_length=255, null=True)
    file_size = models.PositiveBigIntegerField(null=True)
    width = models.PositiveIntegerField(null=True)
    height = models.PositiveIntegerField(null=True)
    duration = models.FloatField(null=True)
    mime_type = models.CharField(max_length=255, null=True)
    type = models.CharField(max_length=16, null=True)
    extension = models.CharField(max_length=32, null=True)
    md5 = models.CharField(max_length=32, null=True, unique=True)
    file_path = models.CharField(max_length=255, null=True)
    is_deleted = models.BooleanField(default=False)
    media_url = models.CharField(max_length=255, null=True)
    preview_url = models.CharField(max_length=255, null=True)

    objects: ClassVar[models.Manager[Item]] = models.Manager()

    class Meta:
        app_label = "bare"
        ordering = ["-added_date", "-id"]

    def __str__(self) -> str:
        return f"item {self.pk}"


class ItemSerializer(serializers.ModelSerializer[Item]):
    class Meta:
        model = Item
        fields = "__all__"


class Pages(PageNumberPagination):
    page_size = 20
    page_size_query_param = "page_size"
    max_page_size = 100


class ItemsView(ListAPIView[Item]):
    queryset = Item.objects.all()
    serializer_class = ItemSerializer
    pagination_class = Pages

    def post(self, request: Request) -> Response:
        item = receive(request.FILES["media_file"])
        return Response(ItemSerializer(item).data, status=status.HTTP_201_CREATED)


class ItemView(RetrieveAPIView[Item]):
    queryset = Item.objects.all()
    serializer_class = ItemSerializer


def receive(upload: Any) -> Item:
    name = secrets.token_hex(16)
    digest = hashlib.md5(usedforsecurity=False)
    with (settings.MEDIA_ROOT / name).open("xb") as file:
        for chunk in upload.chunks():
            digest.update(chunk)
            file.write(chunk)
        file.flush()
        os.fsync(file.fileno())
    now = timezone.now()
    return Item.objects.create(
        md5=digest.hexdigest(), file_path=name, file_size=upload.size, added_date=now, updated_date=now
    )


urlpatterns = [path("items", ItemsView.as_view()), path("items/<int:pk>", ItemView.as_view())]


def prepare() -> None:
    with connection.schema_editor() as editor:
        editor.create_model(Item)


def serve(port: int) -> None:
    server = Server(("127.0.0.1", port), get_wsgi_application(), numthreads=THREADS)
    server.max_request_body_size = MAX_BODY_BYTES
    signal.signal(signal.SIGTERM, lambda *_: setattr(server, "interrupt", SystemExit()))
    server.start()


if __name__ == "__main__":
    if arguments.port is None:
        prepare()
    else:
        serve(arguments.port)
