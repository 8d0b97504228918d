"""What a check-up finds, and how it is printed."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Final, Literal, NamedTuple

Status = Literal["ok", "warning", "problem"]
SOON: Final = timedelta(days=14)
"""What ends sooner is warned of."""


class Finding(NamedTuple):
    """One thing that was looked at; `advice` says what to do, empty when all is well."""

    what: str
    status: Status
    sentence: str
    advice: str = ""


def valid_until(what: str, until: datetime, advice: str) -> Finding:
    """A certificate or token that ends at `until`: told early enough to be renewed in time."""
    left = until - datetime.now(UTC)
    if left <= timedelta():
        return Finding(what, "problem", f"has ended on {until:%Y-%m-%d %H:%M} UTC", advice)
    told = f"valid for {left.days} more days, until {until:%Y-%m-%d %H:%M} UTC"
    return Finding(what, "ok", told) if left > SOON else Finding(what, "warning", told, advice)


def render(findings: Sequence[Finding]) -> str:
    """Findings as a table: status, what, sentence; below it what to do."""
    width = max((len(finding.what) for finding in findings), default=0)
    lines = []
    for what, status, sentence, advice in findings:
        lines.append(f"{status:<8} {what:<{width}}  {sentence}")
        if advice:
            lines.append(f"{'':<8} {'':<{width}}  -> {advice}")
    count = {s: sum(f.status == s for f in findings) for s in ("ok", "warning", "problem")}
    lines.append(f"{count['ok']} ok, {count['warning']} warning(s), {count['problem']} problem(s)")
    return "\n".join(lines)
