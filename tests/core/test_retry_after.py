"""What a Retry-After header may say."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from core.retry_after import LONGEST, wait_asked_for

NOW = datetime(2026, 3, 14, 6, 30, tzinfo=UTC)


@pytest.mark.parametrize(
    ("header", "wait"),
    [
        ("0", timedelta(0)),
        (" 90 ", timedelta(seconds=90)),
        ("9" * 30, LONGEST),
        ("Sat, 14 Mar 2026 06:31:00 GMT", timedelta(minutes=1)),
        ("Sat, 14 Mar 2026 06:31:00 -0000", timedelta(minutes=1)),
        ("Sat, 14 Mar 2020 06:31:00 GMT", timedelta(0)),
        ("Sat, 14 Mar 2126 06:31:00 GMT", LONGEST),
        ("soon", None),
        ("-5", None),
        ("", None),
        (None, None),
    ],
)
def test_what_a_header_asks_for(header: str | None, wait: timedelta | None) -> None:
    assert wait_asked_for(header, NOW) == wait
