"""What several dashboards say in the same way."""

from __future__ import annotations

from tools.dashboards.looks import DAY, FINE, LATE, SOON, WRONG

COVERAGE_NUMBER = (
    "CASE {} WHEN 'stale' THEN 1 WHEN 'out of range' THEN 2 WHEN 'blind' THEN 3 ELSE 0 END"
)
"""Places of `looks.COVERAGE`; the argument is the column."""

AGE_LIMITS = ((17 * DAY, SOON), (24 * DAY, LATE), (48 * DAY, WRONG))
"""Age of an epoch: a repeat interval of 12 days and 5 more (rule StateOld), two, and four."""

BLIND_LIMITS = ((0.0, LATE), (3 * DAY, SOON), (12 * DAY, FINE))
"""Time until blind, red below zero: a repeat interval of 12 days is rule SlopeBlindSoon's limit."""
