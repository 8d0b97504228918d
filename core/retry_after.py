"""The wait that somebody's answer asks for in its `Retry-After` header.

Source: RFC 9110 section 10.2.3.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Final

LONGEST: Final = timedelta(days=1)


def wait_asked_for(header: str | None, now: datetime) -> timedelta | None:
    """The wait from `now` on, seconds or until a date, at most `LONGEST`; None if it says none."""
    if header is None:
        return None
    text = header.strip()
    if text.isascii() and text.isdigit():
        return min(timedelta(seconds=min(int(text[:12]), 10**6)), LONGEST)
    try:
        until = parsedate_to_datetime(text)
    except (ValueError, OverflowError):
        return None
    until = until if until.tzinfo else until.replace(tzinfo=UTC)
    return min(max(until - now, timedelta()), LONGEST)
