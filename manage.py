#!/usr/bin/env python
"""The command line of the store: `manage.py help` lists its commands."""

from __future__ import annotations

import os
import sys


def main() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "store_project.settings")
    from django.core.management import execute_from_command_line  # noqa: PLC0415  (settings come first)

    from store_project.config import ConfigError  # noqa: PLC0415

    try:
        execute_from_command_line(sys.argv)
    except ConfigError as error:
        sys.stderr.write(f"{error}\n")
        sys.exit(2)


if __name__ == "__main__":
    main()
