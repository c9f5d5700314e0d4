"""When a picture or a film was taken, from what its metadata says."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta, timezone

from PIL.ExifTags import Base

_EXIF_DATE = re.compile(r"\s*(\d{4})[:-](\d\d)[:-](\d\d)[ T](\d\d):(\d\d):(\d\d)", re.ASCII)
_EXIF_FRACTION = re.compile(r"\d{1,6}", re.ASCII)
_EXIF_OFFSET = re.compile(r"([+-])(\d\d):(\d\d)", re.ASCII)

_EXIF_DATES = (
    (Base.DateTimeOriginal, Base.SubsecTimeOriginal, Base.OffsetTimeOriginal),
    (Base.DateTimeDigitized, Base.SubsecTimeDigitized, Base.OffsetTimeDigitized),
    (Base.DateTime, Base.SubsecTime, Base.OffsetTime),
)
"""Date, fraction of the second, offset from UTC; the most trustworthy first."""

EXIF_TAGS = tuple(tag for tags in _EXIF_DATES for tag in tags)

_ISO_MINIMUM = len("2001-02-03T04:05:06")
_CLOCKS_START = {(1904, 1, 1), (1970, 1, 1)}
"""The dates a video recorder writes whose clock was never set."""


def exif_capture_date(tags: Mapping[int, object]) -> datetime | None:
    """In UTC. Few cameras write their offset from UTC; a date without one is taken to be in UTC."""
    for date, fraction, offset in _EXIF_DATES:
        found = _parse_exif(*(_text(tags.get(tag)) for tag in (date, fraction, offset)))
        if found is not None:
            return found
    return None


def container_capture_date(texts: Iterable[str | None]) -> datetime | None:
    """In UTC: the first of ISO 8601 dates and times that is a real one."""
    for text in texts:
        found = _parse_iso(text) if text is not None else None
        if found is not None and (found.year, found.month, found.day) not in _CLOCKS_START:
            return found
    return None


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _parse_exif(date: str, fraction: str, offset: str) -> datetime | None:
    """None too for what cameras write that do not know the date, such as 0000:00:00 00:00:00."""
    match = _EXIF_DATE.match(date)
    if match is None:
        return None
    digits = _EXIF_FRACTION.match(fraction)
    microsecond = int(digits[0].ljust(6, "0")) if digits else 0
    try:
        year, month, day, hour, minute, second = (int(number) for number in match.groups())
        local = datetime(year, month, day, hour, minute, second, microsecond, _parse_offset(offset))
        return local.astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def _parse_offset(text: str) -> timezone:
    match = _EXIF_OFFSET.match(text)
    if match is None:
        return UTC
    offset = timedelta(hours=int(match[2]), minutes=int(match[3]))
    return timezone(-offset if match[1] == "-" else offset)


def _parse_iso(text: str) -> datetime | None:
    if len(text) < _ISO_MINIMUM:
        return None
    try:
        found = datetime.fromisoformat(text)
        return (found if found.tzinfo else found.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError):
        return None
