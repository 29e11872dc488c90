"""Days as people type them, and the first day of the record."""

from __future__ import annotations

import datetime
import re
from functools import cache

from windtunnel.catalog.instrument import instruments
from windtunnel.errors import InvalidInputError


def parse_day(text: str | datetime.date, field: str = "date") -> datetime.date:
    """A day from ``2025-04-20``. Raises InvalidInputError with the nearest way to write it."""
    if isinstance(text, datetime.datetime):
        return text.date()
    if isinstance(text, datetime.date):
        return text
    try:
        if re.fullmatch(r"\d{4}-\d{2}-\d{2}", text.strip()):
            return datetime.date.fromisoformat(text.strip())
    except ValueError:
        pass
    raise InvalidInputError(field, f"'{text[:40]}' is no day; {_nearest_day(text)}")


def _nearest_day(text: str) -> str:
    """How a day that was written otherwise should be written."""
    parts = [int(part) for part in re.findall(r"\d+", text)[:3] if len(part) <= 4]
    if len(parts) == 1 and 1900 < parts[0] < 2200:
        return f"nearest: {parts[0]}-01-01"
    compact = re.fullmatch(r"\s*(\d{4})(\d\d)(\d\d)\s*", text)
    if compact:
        parts = [int(part) for part in compact.groups()]
    if len(parts) >= 2 and 1900 < parts[-1] < 2200 and parts[0] <= 31:
        parts = parts[::-1]  # day and month first
    if len(parts) >= 2 and 1900 < parts[0] < 2200:
        day = parts[2] if len(parts) > 2 else 1
        for year, month, date in ((parts[0], parts[1], day), (parts[0], day, parts[1])):
            try:
                return f"nearest: {datetime.date(year, month, date).isoformat()}"
            except ValueError:
                continue
        if 1 <= parts[1] <= 12 and 28 < day <= 31:
            last = datetime.date(parts[0] + parts[1] // 12, parts[1] % 12 + 1, 1) - datetime.timedelta(days=1)
            return f"nearest: {last.isoformat()}"
    return "write it as 2025-04-20"


@cache
def first_day() -> datetime.date:
    """The day of the record's first binding rule."""
    return min(i.effective for i in instruments() if i.binds and i.effective is not None)
