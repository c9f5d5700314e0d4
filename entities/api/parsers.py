from __future__ import annotations

from typing import Any

from rest_framework.parsers import BaseParser


class NoFieldsParser(BaseParser):
    """A body that is not a form has no fields, whatever is in it: clients send JSON, and expect no more."""

    media_type = "*/*"

    def parse(self, stream: Any, media_type: str | None = None, parser_context: Any = None) -> dict[str, Any]:
        return {}
