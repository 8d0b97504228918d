"""A site's history cut at the releases it ran on, and what of each stretch comes out the same."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Generic, NamedTuple, TypeVar

from core.events import ReleaseActivated
from services.commands._differences import NOTHING, Difference, differences

T = TypeVar("T")
Words = Mapping[str, tuple[str, Any]]
"""What a stage said in a stretch: by identity, a label for people and the content as JSON."""


class Part(NamedTuple, Generic[T]):
    """The items under one release; None where no release was ever named."""

    release: ReleaseActivated | None
    items: list[T]


class Changed(NamedTuple):
    """One thing that a stage said otherwise: its label and the fields that differ."""

    label: str
    fields: tuple[Difference, ...]


class Comparison(NamedTuple):
    """What one stage said in a stretch, then and now: how many were compared, which differ."""

    compared: int
    changed: tuple[Changed, ...]


class Span(NamedTuple):
    """From where to where a stretch goes: places in the site's order and `available_at`."""

    inputs: int
    first_seq: int
    last_seq: int
    since: datetime
    until: datetime


class Stretch(NamedTuple):
    """One stretch, replayed; `present`: its release is the one that replays."""

    number: int
    release: ReleaseActivated | None
    present: bool
    span: Span | None
    outcomes: Comparison
    decisions: Comparison

    @property
    def changed(self) -> tuple[Changed, ...]:
        """All that differs."""
        return (*self.outcomes.changed, *self.decisions.changed)


class Judged(NamedTuple):
    """A stretch with what its comparison proves. `proven`: False where it had to be equal."""

    stretch: Stretch
    verdict: str
    proven: bool


def cut(items: Iterable[T], release_in: Callable[[T], ReleaseActivated | None]) -> list[Part[T]]:
    """Cut where another release comes into force; what comes before the first belongs to it.

    A release that is named again without another between begins no stretch.
    """
    parts: list[Part[T]] = []
    before: list[T] = []
    for item in items:
        release = release_in(item)
        if release is not None and (not parts or parts[-1].release != release):
            parts.append(Part(release, before))
            before = []
        (parts[-1].items if parts else before).append(item)
    return parts or [Part(None, before)]


def compare(then: Words, now: Words) -> Comparison:
    """Compare by identity; what only one side has is a difference, and so is another order."""
    changed = []
    for key in dict.fromkeys([*then, *now]):
        label = (then.get(key) or now[key])[0]
        old, new = (side[key][1] if key in side else NOTHING for side in (then, now))
        if found := tuple(differences(old, new)):
            changed.append(Changed(label, found))
    if not changed and list(then) != list(now):
        changed.append(Changed("the same, in another order", ()))
    return Comparison(len({*then, *now}), tuple(changed))


def judge(stretches: Sequence[Stretch]) -> list[Judged]:
    """Say what each stretch proves.

    A stretch of the present release must be equal, unless an earlier one was not: then it begins
    from another state than it did, and no state of then is kept to begin it from. Each stage
    inherits from itself alone, since both are given what was recorded.
    """
    judged = []
    shifted = {"outcomes": False, "decisions": False}
    for stretch in stretches:
        count = len(stretch.changed)
        differs = {stage: bool(getattr(stretch, stage).changed) for stage in shifted}
        excused = all(shifted[stage] for stage in shifted if differs[stage])
        if not count:
            verdict = "equal"
        elif not stretch.present:
            verdict = f"other release: {count} {'difference' if count == 1 else 'differences'}"
        else:
            verdict = f"inherits ({count})" if excused else f"differs ({count})"
        judged.append(Judged(stretch, verdict, not count or not stretch.present or excused))
        shifted = {stage: shifted[stage] or differs[stage] for stage in shifted}
    return judged


def table(judged: Sequence[Judged]) -> list[str]:
    """One line a stretch, under a line of headings."""
    rows: list[tuple[str, ...]] = [
        ("", "release", "available at", "seq", "inputs", "outcomes", "decisions", "verdict")
    ]
    rows += [_row(*one) for one in judged]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]


def _row(stretch: Stretch, verdict: str, _: bool) -> tuple[str, ...]:
    span = stretch.span
    return (
        str(stretch.number),
        named(stretch.release),
        f"{span.since:%Y-%m-%d %H:%M} to {span.until:%Y-%m-%d %H:%M}" if span else "",
        f"{span.first_seq}-{span.last_seq}" if span else "",
        str(span.inputs if span else 0),
        str(stretch.outcomes.compared),
        str(stretch.decisions.compared),
        verdict,
    )


def named(release: ReleaseActivated | None) -> str:
    """A release for people; tables of one version but other content are told apart."""
    if release is None:
        return "never named"
    table = f" ({release.table.sha256[:8]})" if release.table else ""
    return f"{release.code} / {release.model} / {release.thresholds}{table}"
