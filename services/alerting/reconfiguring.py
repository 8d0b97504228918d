"""What a changed site file makes of alerts that stand."""

from __future__ import annotations

from collections.abc import Mapping

from msgspec.structs import replace

from core.settings import Site, TwoPersons, rank
from services.alerting.alert import Released
from services.alerting.notices import to_tell_newcomers
from services.alerting.state import SiteAlerts, UnitAlert


def as_the_file_says(state: SiteAlerts, old: Site | None, new: Site) -> SiteAlerts:
    """The site with the units of its `new` file, after the one before; None: it is the first.

    A changed list of recipients tells newcomers what stands; a site that is tested no more, or is
    from now on, tells everybody anew, since what was said so far was of another status. A retired
    site says nothing more. Two persons asked for from now on release nothing that was told already.
    """
    ids = [unit.id for unit in new.slope_units]
    units = {name: state.units.get(name, UnitAlert()) for name in ids}
    if state.retired:
        silent = {name: replace(unit, silence=None, held={}) for name, unit in units.items()}
        return replace(state, units=silent, mailboxes={})
    if old is not None:
        units = _with_what_was_told(units, old.two_persons, new.two_persons)
        if old.recipients != new.recipients or old.test != new.test:
            units = to_tell_newcomers(units, new.recipients, anew=old.test != new.test)
    return replace(state, units=units)


def _with_what_was_told(
    units: Mapping[str, UnitAlert], old: TwoPersons | None, new: TwoPersons | None
) -> dict[str, UnitAlert]:
    """The units with levels released that were told before two persons were asked for them."""
    from_before = rank(old.from_level) if old else len(units) + 4
    result = dict(units)
    for name, unit in units.items():
        case = unit.open_case
        was_free = rank(unit.level) < from_before and "level" not in unit.waiting
        if new and case and was_free and case.draft is None:
            result[name] = replace(unit, case=replace(case, released=Released(level=unit.level)))
    return result
