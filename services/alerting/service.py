"""The alerting stage: reads assessments, keeps the ledger, says what changed.

A decision is a function of the site's inputs alone. Handlers read content-addressed artifacts
(the site file, the threshold table, the evidence of an epoch) and nothing else outside.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import date, timedelta
from typing import NamedTuple

import msgspec
from msgspec.structs import replace

from core.artifacts import Artifacts
from core.errors import BadInputError, SettingsError
from core.events import (
    ALERTS,
    ASSESSMENTS,
    ArtifactRef,
    DayClosed,
    DeadlinePassed,
    ForecastIssued,
    OperatorCommanded,
    ReleaseActivated,
    SiteConfigured,
    StateUpdated,
)
from core.evidence import unpack_evidence
from core.ledger import LedgerState
from core.ledger.ledger import Ledger
from core.ledger.store import LedgerSite
from core.settings import Site, site_from_bytes
from core.stage import Input, Outcome
from services.alerting import decide
from services.alerting.amending import revised
from services.alerting.commands import obeyed
from services.alerting.coverage import Judging, assess
from services.alerting.news import Terms, conclude, utc_day
from services.alerting.passed import passed
from services.alerting.reconfiguring import as_the_file_says
from services.alerting.rule import (
    DEFAULT_RULES,
    DRIVERS_TRACK,
    Rule,
    open_rules,
    votes_of,
    without_limits,
)
from services.alerting.state import (
    STATE_VERSION,
    ClosedDay,
    Release,
    SiteAlerts,
    UnitAlert,
    decode_state,
    lifted,
)
from services.alerting.thresholds import ThresholdTable, load_table
from services.alerting.turn import Turn

_OPENED_AT_MOST = 256
_EPOCH = date(1970, 1, 1)


class Opened(NamedTuple):
    """A site file, its rules with the thresholds in force, and what these came to."""

    site: Site
    rules: tuple[Rule, ...]
    table: ThresholdTable

    @property
    def sight(self) -> Judging:
        """What coverage hangs on beside the satellite."""
        return Judging(judges_downslope(self.site), without_limits(self.rules, self.table))


def judges_downslope(site: Site) -> bool:
    """Whether the site's rules look down the slope alone: none of them names the line of sight."""
    rules = [plugin.model_dump() for plugin in site.rules or DEFAULT_RULES]
    judged = [rule.get("component") for rule in rules if rule["kind"] == "velocity"]
    return "los" not in judged


class AlertingStage:
    """A `core.stage.Stage[LedgerState]`. `ledger` None: for replays that bring their own state."""

    name = "alerting"
    inbox = ASSESSMENTS
    outbox = ALERTS

    def __init__(self, ledger: Ledger | None, artifacts: Artifacts) -> None:
        self._ledger = ledger
        self._artifacts = artifacts
        self._cache: dict[tuple[ArtifactRef, ArtifactRef | None], Opened] = {}

    def sites(self) -> Iterable[str]:
        """Names of all sites that the ledger knows."""
        return self._kept().sites()

    def store(self, site: str) -> LedgerSite:
        """The ledger's store of one site."""
        return self._kept().site(site, STATE_VERSION, lifted)

    def handle(self, state: LedgerState, given: Input) -> tuple[LedgerState, Sequence[Outcome]]:
        """Decide on one input.

        Raises `BadInputError` for what cannot be used, `UnavailableError` for an artifact out of
        reach, `NewerVersionError` for a state of a newer release.
        """
        before = decode_state(state.state)
        turn = self._turn(before, given)
        settings, terms = turn.after.settings, None
        if settings is not None:
            opened = self._open(settings, turn.after.table)
            terms = Terms(opened.site, opened.table.of_100)
        return conclude(state, before, turn, given, terms)

    def _turn(self, before: SiteAlerts, given: Input) -> Turn:
        match given.event.data:
            case SiteConfigured() as data:
                return self._configured(before, data, given)
            case ReleaseActivated() as data:
                return self._activated(before, data)
            case OperatorCommanded() as data:
                return obeyed(before, data, given, self._opened(before, given).site)
            case DeadlinePassed() as data:
                site = self._opened(before, given).site if before.settings else None
                return passed(before, data, given, site)
            case ForecastIssued():
                return Turn(before, {})
            case StateUpdated() | DayClosed() if before.retired:
                return Turn(before, {})
            case StateUpdated(reason="day") as data:
                return self._drivers(before, data, given)
            case StateUpdated() as data:
                return self._epoch(before, data, given)
            case DayClosed() as data:
                return self._day(before, data, given)
            case other:
                raise BadInputError(f"alerting does not read {other.NAME} events")

    def _configured(self, before: SiteAlerts, data: SiteConfigured, given: Input) -> Turn:
        configured_on = before.configured_on or utc_day(given.event.available_at)
        after = replace(
            before,
            settings=data.settings,
            configured_on=configured_on,
            watched_from=data.watched_from or configured_on,
            retired=data.retired,
        )
        site = self._open(data.settings, before.table).site
        old = self._open(before.settings, before.table).site if before.settings else None
        return Turn(as_the_file_says(after, old, site), {})

    def _activated(self, before: SiteAlerts, data: ReleaseActivated) -> Turn:
        release = Release(code=data.code, model=data.model, thresholds=data.thresholds)
        self._table(data.table)
        return Turn(replace(before, release=release, table=data.table), {})

    def _epoch(self, before: SiteAlerts, data: StateUpdated, given: Input) -> Turn:
        site, rules = self._opened(before, given)[:2]
        track, epoch = data.track, data.epoch
        if track is None or epoch is None:
            raise BadInputError(f"state updated {given.event.id} names no track or no epoch")
        votes, judging = {}, self._opened(before, given).sight
        if data.evidence is not None:
            evidence = unpack_evidence(self._artifacts.get(data.evidence))
            votes = votes_of(rules, evidence, track)
        seen = {state.unit: state for state in data.units if state.track == track}
        units = {}
        for name, old in before.units.items():
            unit = decide.observed(old, track, epoch, seen.get(name))
            if name in votes:
                fresh = decide.is_fresh(old, track, epoch, seen.get(name), votes[name])
                unit = decide.voted(
                    unit, track, votes[name], fresh=fresh, epoch=epoch, now=given.now
                )
                unit = revised(old, unit, track, epoch, given.seq)
            if before.closed is not None:
                view = assess(unit.sights, before.closed, site.repeat_days, judging)
                unit = decide.viewed(unit, view, max(epoch, before.closed.day), given.now)
            units[name] = unit
        return Turn(_with_evidence(before, track, data, units), _causes(data))

    def _drivers(self, before: SiteAlerts, data: StateUpdated, given: Input) -> Turn:
        """Rain and level up to a day, which rules judge for the whole site without a track."""
        rules = self._opened(before, given).rules
        if data.evidence is None:
            return Turn(before, {})
        evidence = unpack_evidence(self._artifacts.get(data.evidence))
        if not evidence.driver_day.size:
            raise BadInputError(f"state updated {given.event.id}: its evidence is of no day")
        day = _EPOCH + timedelta(days=int(evidence.driver_day[-1]))
        votes = votes_of(rules, evidence, DRIVERS_TRACK)
        units = {
            name: decide.driven(unit, votes[name], day, given.now) if name in votes else unit
            for name, unit in before.units.items()
        }
        return Turn(_with_evidence(before, DRIVERS_TRACK, data, units), _causes(data))

    def _day(self, before: SiteAlerts, data: DayClosed, given: Input) -> Turn:
        opened = self._opened(before, given)
        site, judging = opened.site, opened.sight
        if before.closed is not None and data.day <= before.closed.day:
            return Turn(before, {})
        closed = ClosedDay(
            day=data.day,
            passes=data.passes,
            epochs=data.epochs,
            sources=data.sources,
            catching_up=data.catching_up,
        )
        units = {
            name: decide.viewed(
                decide.calmed(unit, data.day, given.now),
                assess(unit.sights, closed, site.repeat_days, judging),
                data.day,
                given.now,
            )
            for name, unit in before.units.items()
        }
        return Turn(
            replace(before, closed=closed, units=units),
            {"day": data.day, "inference": {"seq": data.seq, "inputs": ()}},
            catching_up=data.catching_up,
        )

    def _opened(self, state: SiteAlerts, given: Input) -> Opened:
        if state.settings is None:
            raise BadInputError(f"site {given.event.site} is not configured: add its file")
        return self._open(state.settings, state.table)

    def _open(self, settings: ArtifactRef, table: ArtifactRef | None) -> Opened:
        """The site file and its rules; both are content, so they may be kept."""
        if (settings, table) not in self._cache:
            content = self._artifacts.get(settings)
            try:
                site = site_from_bytes(content)
                limits = self._table(table)
                opened = Opened(site, open_rules(site, limits), limits)
            except (SettingsError, msgspec.MsgspecError) as error:
                raise BadInputError(f"the site file cannot be used: {error}") from error
            if len(self._cache) >= _OPENED_AT_MOST:
                self._cache.clear()
            self._cache[settings, table] = opened
        return self._cache[settings, table]

    def _table(self, table: ArtifactRef | None) -> ThresholdTable:
        return load_table(self._artifacts.get(table)) if table else ThresholdTable()

    def _kept(self) -> Ledger:
        if self._ledger is None:
            raise SettingsError("this alerting stage was made without a ledger")
        return self._ledger


def _with_evidence(
    before: SiteAlerts, track: str, data: StateUpdated, units: dict[str, UnitAlert]
) -> SiteAlerts:
    known = {track: data.evidence} if data.evidence else {}
    return replace(before, units=units, evidence={**before.evidence, **known})


def _causes(data: StateUpdated) -> dict[str, object]:
    """What the decision row says of an assessment."""
    return {
        "evidence": data.evidence.sha256 if data.evidence else None,
        "inference": {"seq": data.seq, "inputs": data.inputs},
    }
