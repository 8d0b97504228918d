"""Certification: the frozen suite replayed with the rules of a release, held against its record.

Every figure is a count, so that equal bytes of simulation and table give equal figures. A release
gets worse where a group of sites, under one of the suite's variants and at one level, has more
false alarms or alarm days, or fewer failures detected at a lead, or less lead in all. The median
lead is shown and not judged: more failures caught late make it shorter.
"""

from __future__ import annotations

import platform
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Final, NamedTuple

import msgspec
import numpy as np
from tqdm import tqdm

from core.errors import SettingsError
from core.twin import Kind, Observed, Truth
from services.alerting.rule import LevelIndex
from services.alerting.thresholds import ThresholdTable, load_table
from services.scoring import score, suite
from services.scoring.levels import ORANGE, RED, YELLOW, or_out_of_range, rule_levels
from services.scoring.pool import YEAR_DAYS, Pool, filtered
from services.scoring.suite import GROUPS, VARIANTS, Group
from services.scoring.voters import voting_rules

CERTIFICATE: Final = Path(__file__).with_name("certificates") / "suite-1.json"
LEADS_DAYS: Final = (0, *score.LEADS_DAYS)
PIPELINE_SITES: Final = tuple(
    (2_150_000 + number, kind)
    for number, kind in enumerate((Kind.QUIET, Kind.FAILING, Kind.ABORTED, Kind.STEP))
)
"""Seeds and kinds of the sites that go through the whole service, five years each."""


class Figures(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What an alert of one level did on the sites of a group.

    `alarm_days` are of watched time outside a runaway; `detected` counts failures by lead, 0, 7, 14
    and 30 days; `lead_days` is the sum of all leads, 0 where nothing was detected.
    """

    false_alarms: int
    alarm_days: int
    detected: tuple[int, ...]
    lead_days: int
    median_lead_days: float | None


class Scores(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A group under one variant: watched unit-years, failures, and figures by level."""

    unit_years: float
    failures: int
    levels: dict[str, Figures]


class Simulated(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """By what a changed simulation of a group is noticed."""

    fingerprints: dict[str, str]
    sums: dict[str, float]


class Record(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The suite replayed once: simulations by group, scores by variant and group."""

    simulated: dict[str, Simulated]
    scores: dict[str, dict[str, Scores]]


class Certificate(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The frozen suite and what was recorded on it, in its whole and in its short form."""

    suite: str
    recorded_with: dict[str, str]
    groups: dict[str, Group]
    whole: Record
    short: Record


@dataclass(frozen=True)
class Findings:
    """How a replay compares, in sentences: what fails it, what does not, and what is better."""

    changed: tuple[str, ...]
    worse: tuple[str, ...]
    rounded: tuple[str, ...]
    better: tuple[str, ...]


def load_certificate(path: Path = CERTIFICATE) -> Certificate:
    """The recorded certificate; `SettingsError` for a file that is none."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=Certificate)
    except (OSError, msgspec.MsgspecError) as error:
        raise SettingsError(
            f"{path} is no certificate ({error}): take the one of the release, or record another "
            "with `slopewatch certify --record FILE`"
        ) from error


def certificate_bytes(certificate: Certificate) -> bytes:
    """A certificate as JSON, always in the same bytes."""
    plain = msgspec.json.encode(certificate, order="sorted")
    return msgspec.json.format(plain, indent=1) + b"\n"


def recorded_with(table: ThresholdTable) -> dict[str, str]:
    """Versions that figures depend on, and the processor on which they were made."""
    packages = {name: version(name) for name in ("slopewatch", "numpy", "scipy")}
    python = platform.python_version()
    return {**packages, "python": python, "machine": platform.machine(), "table": table.version}


def replayed(
    groups: Mapping[str, Group], table: bytes, *, progress: bool = False
) -> tuple[Record, Record]:
    """The suite with the thresholds of `table`: all of it, and its first tenth."""
    loaded = load_table(table)
    whole, short = Record({}, {}), Record({}, {})
    sites = sum(group.count for group in groups.values()) * len(VARIANTS)
    with tqdm(total=sites, desc="frozen suite", unit="site", disable=not progress) as bar:
        for name, group in groups.items():
            truth, observed = suite.simulated(group)
            seen = {variant: make(truth, observed) for variant, make in VARIANTS.items()}
            few = group.short().count
            _note_simulation(whole, name, truth, seen)
            first = {variant: suite.first_sites(one, few) for variant, one in seen.items()}
            _note_simulation(short, name, suite.first_sites(truth, few), first)
            for variant, one in seen.items():
                pool = filtered(truth, one)
                level = rule_levels(pool, voting_rules(loaded))
                part = np.arange(len(pool)) < few
                whole.scores.setdefault(variant, {})[name] = scores_of(pool, level)
                short.scores.setdefault(variant, {})[name] = scores_of(
                    pool.where(part), level[part]
                )
                bar.update(len(pool))
    return whole, short


def _note_simulation(record: Record, name: str, truth: Truth, seen: Mapping[str, Observed]) -> None:
    record.simulated[name] = Simulated(suite.fingerprints(truth, seen), suite.sums(truth, seen))


def scores_of(pool: Pool, level: LevelIndex) -> Scores:
    """Scores of a pool's levels (S, K); the sites need not be of one kind."""
    outside = or_out_of_range(pool, level)
    return Scores(
        unit_years=round(float(score.quiet_days(pool).sum() / YEAR_DAYS), 2),
        failures=int((pool.failure_day >= 0).sum()),
        levels={
            "yellow": _figures(pool, level, YELLOW),
            "orange": _figures(pool, level, ORANGE),
            "red": _figures(pool, level, RED),
            "orange or out of range": _figures(pool, outside, ORANGE),
        },
    )


def _figures(pool: Pool, level: LevelIndex, least: int) -> Figures:
    on, lead = level >= least, score.leads(pool, level, least)
    found = lead[lead >= 0]
    return Figures(
        false_alarms=int(score.false_starts(pool, on).sum()),
        alarm_days=int(score.alarm_days(pool, on).sum()),
        detected=tuple(int(score.detected(pool, level, h, least).sum()) for h in LEADS_DAYS),
        lead_days=int(found.sum()),
        median_lead_days=float(np.median(found)) if found.size else None,
    )


class Pair(NamedTuple):
    """One figure as it was recorded and as it is now, and whether more of it is better."""

    name: str
    was: int
    now: int
    more_is_better: bool

    @property
    def worse(self) -> bool:
        """Whether the figure got worse."""
        return self.now < self.was if self.more_is_better else self.now > self.was


def pairs(was: Figures, now: Figures) -> list[Pair]:
    """The judged figures of one level, side by side."""
    detected = [
        Pair(f"failures detected {lead} d before" if lead else "failures detected", a, b, True)
        for lead, a, b in zip(LEADS_DAYS, was.detected, now.detected, strict=True)
    ]
    return [
        Pair("false alarms", was.false_alarms, now.false_alarms, False),
        Pair("alarm days", was.alarm_days, now.alarm_days, False),
        *detected,
        Pair("days of lead in all", was.lead_days, now.lead_days, True),
    ]


def compared(recorded: Record, now: Record) -> Findings:
    """Hold a replay against what was recorded."""
    changed, rounded, worse, better = [], [], [], []
    for name, was in recorded.simulated.items():
        if now.simulated[name].fingerprints == was.fingerprints:
            continue
        other = suite.changed(was.sums, now.simulated[name].sums)
        if other:
            changed.append(
                f"{name}: the simulation is not the frozen one ({'; '.join(other[:3])} differ): "
                "its figures cannot be compared, so undo the change or record another suite"
            )
        else:
            rounded.append(
                f"{name}: other bytes than were recorded, the same sums to a millionth: another "
                "processor or library rounds otherwise"
            )
    for place, was_level, now_level in levels_of(recorded, now):
        for pair in pairs(was_level, now_level):
            told = f"{place}: {pair.name} were {pair.was}, are {pair.now}"
            if pair.worse:
                worse.append(told)
            elif pair.was != pair.now:
                better.append(told)
    return Findings(tuple(changed), tuple(worse), tuple(rounded), tuple(better))


def levels_of(recorded: Record, now: Record) -> Iterator[tuple[str, Figures, Figures]]:
    """Place (group, variant and level in words) and figures of both, in the recorded order."""
    for variant, groups in recorded.scores.items():
        for name, was in groups.items():
            there = now.scores[variant][name]
            for level, figures in was.levels.items():
                yield f"{name}, {variant}, {level}", figures, there.levels[level]


def table_of(recorded: Record, now: Record) -> Sequence[str]:
    """Lines of a table, group by group: recorded, now, verdict."""
    lines = []
    for variant, groups in recorded.scores.items():
        for name, was in groups.items():
            there = now.scores[variant][name]
            fails = f", {there.failures} failures" if there.failures else ""
            lines.append(f"{name}, {variant}: {there.unit_years:.0f} unit-years{fails}")
            lines += [
                f"  {level:22}  {_row(figures, there.levels[level], there.failures > 0)}"
                for level, figures in was.levels.items()
            ]
    return lines


def _row(was: Figures, now: Figures, fails: bool) -> str:
    both = pairs(was, now)
    worse = [pair.name for pair in both if pair.worse]
    other = any(pair.was != pair.now for pair in both)
    verdict = f"WORSE: {', '.join(worse)}" if worse else ("better" if other else "equal")
    recorded, here = (_told(one, fails) for one in (was, now))
    return f"{recorded}  |  {here}  |  {verdict}"


def _told(one: Figures, fails: bool) -> str:
    alarms = f"{one.false_alarms:4d} false, {one.alarm_days:6d} d"
    if not fails:
        return alarms
    median = "-" if one.median_lead_days is None else f"{one.median_lead_days:.0f}"
    return f"{alarms}, {'/'.join(map(str, one.detected)):>11}, {median:>3} d"


def whole_certificate(table: bytes, *, progress: bool = False) -> Certificate:
    """A new certificate of the suite that this release defines."""
    whole, short = replayed(GROUPS, table, progress=progress)
    return Certificate("suite-1", recorded_with(load_table(table)), dict(GROUPS), whole, short)
