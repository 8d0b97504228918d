"""`slopewatch alerts tune`: thresholds from simulated sites at a stated budget of false alarms."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from scipy.stats import chi2

from core.errors import SettingsError, SlopewatchError
from core.settings import Service
from services.alerting.thresholds import ThresholdTable, load_table
from services.commands._site_state import state_of
from services.compose import load_sites
from services.scoring.calibrate import SHIPPED, Calibration, calibration, table_bytes
from services.scoring.curves import curves, drawn, printed
from services.scoring.own_history import own_history, told
from services.scoring.pool import YEARS
from services.scoring.pools import CALIBRATION, QUICK, Counts
from services.scoring.score import DROPPED_YEARS, SEPARATION_DAYS
from services.scoring.search import BUDGETS, MARGIN, Budget

Echo = Callable[[str], None]
MOST_A_YEAR = 2.0
"""False alarms a unit-year above which a budget is refused: episodes would run into each other."""
PICTURES = (".png", ".svg", ".pdf")
_VERSION = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")


def tune(
    service: Service,
    out: Path,
    budgets: Mapping[str, float],
    quick: bool,
    site: str | None,
    plot: Path | None,
    echo: Echo,
) -> None:
    """Search thresholds within `budgets` and write them as a table; its file's name is its version.

    Args:
        service: settings; its sites are the check by own history.
        out: the table, NAME.json; neither it nor a shipped table of that name may exist.
        budgets: false alarms a unit-year by level; a level left out has the shipped budget.
        quick: few simulated sites, to see what the command does; such a table is not for use.
        site: the only site whose own history is looked at; every site of the folder without it.
        plot: picture of lead time against false alarms, ending in .png, .svg or .pdf.
        echo: says what was found, and what it cannot show.

    Raises:
        SettingsError: a name that is taken, a budget that makes no sense or that the simulated
            sites are too few for, or a file that cannot be written.
    """
    version = _checked(out, plot)
    counts = QUICK if quick else CALIBRATION
    asked = _budgets(budgets)
    _check_power(asked, counts, quick, echo)
    names = _sites(service, site, echo)
    made = calibration(counts, progress=True, budgets=asked, version=version)
    if not made.found.limits:
        raise SettingsError("no rule keeps to this budget on the simulated sites: ask for more")
    if quick:
        made.tree["cannot_show"].append("Made from few sites to try the command: not for use.")
    content = table_bytes(made.tree)
    table = load_table(content)
    out.write_bytes(content)
    _tell_limits(made, asked, echo)
    _tell_curve(made, asked, plot, echo)
    for name in names:
        _tell_history(service, name, table, echo)
    echo(
        f"wrote {out}: table {version} is in force once the service's settings say "
        f"`thresholds: {out.absolute()}` (or SLOPEWATCH_THRESHOLDS) and it is started again"
    )
    if quick:
        echo("a quick table is not for use: leave --quick out for one that is")


def _checked(out: Path, plot: Path | None) -> str:
    """The version that `out` names, once nothing stands in the way of writing."""
    version = out.stem
    if out.suffix != ".json" or not _VERSION.fullmatch(version):
        raise SettingsError(f"{out}: name the table VERSION.json, in letters, digits, _ . and -")
    if version in {path.stem for path in SHIPPED.parent.glob("*.json")} | {SHIPPED.stem}:
        raise SettingsError(f"{out}: {version} is a shipped table: give yours another name")
    if out.exists():
        raise SettingsError(f"{out} exists: a version never changes, so name another one")
    for path in (out, plot):
        if path is not None and not path.absolute().parent.is_dir():
            raise SettingsError(f"{path} cannot be written: {path.absolute().parent} is no folder")
    if plot is not None and plot.suffix.lower() not in PICTURES:
        raise SettingsError(f"{plot} must end in {' or '.join(PICTURES)}: that says what it is")
    return version


def _budgets(asked: Mapping[str, float]) -> dict[str, Budget]:
    """Budgets of all levels, checked; alarm time stays as shipped."""
    for level, rate in asked.items():
        if level not in BUDGETS:
            raise SettingsError(f"{level} has no budget: it is one of {', '.join(BUDGETS)}")
        if not 0 < rate <= MOST_A_YEAR:
            raise SettingsError(
                f"a budget of {rate:g} false alarms a unit-year at {level} cannot be tuned to: an "
                f"episode ends after {SEPARATION_DAYS} quiet days, so ask for more than 0 and at "
                f"most {MOST_A_YEAR:g}"
            )
    found = {
        level: Budget(asked.get(level, shipped.false_alarms), shipped.alarm_share)
        for level, shipped in BUDGETS.items()
    }
    rates = [budget.false_alarms for budget in found.values()]
    if rates != sorted(rates, reverse=True):
        raise SettingsError("a higher level must not have the larger budget of false alarms")
    return found


def _check_power(budgets: Mapping[str, Budget], counts: Counts, quick: bool, echo: Echo) -> None:
    """Refuse a budget that no silence of the simulated sites could show to be kept."""
    years = (counts.quiet + counts.aborted + counts.step) * (YEARS - DROPPED_YEARS)
    least = float(chi2.ppf(0.975, 2)) / 2 / years / MARGIN
    weak = [level for level, budget in budgets.items() if budget.false_alarms < least]
    if not weak:
        return
    why = (
        f"{' and '.join(weak)}: {years} simulated unit-years without one false alarm only bound "
        f"the rate, so a budget below {least:.2g} a unit-year cannot be shown to be kept"
    )
    if not quick:
        raise SettingsError(f"{why}: ask for that much or more")
    echo(f"warning: {why}; the limits found are the highest that were tried")


def _sites(service: Service, site: str | None, echo: Echo) -> list[str]:
    """Names of the sites whose own history is looked at; a named one must be there."""
    if site is not None:
        return [load_sites(service, site)[0].name]
    try:
        return [one.name for one in load_sites(service, without_broken=True)]
    except SettingsError:
        echo(f"no site in {service.sites}: no own history is looked at")
        return []


def _tell_limits(made: Calibration, budgets: Mapping[str, Budget], echo: Echo) -> None:
    echo("limits by rule (a rule that is not here buys no detection, and has no vote):")
    for name, limits in made.tree["rules"].items():
        echo(f"  {name:28}" + ", ".join(f"{level} {value:g}" for level, value in limits.items()))
    for level, budget in budgets.items():
        figures: dict[str, Any] = made.tree["calibration"][level]
        rate, low, high = figures["false_alarms_a_unit_year"]["all"]
        count, years = figures["false_alarms"]["all"], figures["unit_years"]["all"]
        rests = "1 false alarm" if count == 1 else f"{count} false alarms"
        echo(
            f"{level}: budget {budget.false_alarms:g}, found {rate:.3g} ({low:.3g}-{high:.3g}) "
            f"false alarms a unit-year; that rests on {rests} in {years:.0f} simulated unit-years"
        )
    for sentence in made.tree["cannot_show"]:
        echo(f"what it cannot show: {sentence}")


def _tell_curve(
    made: Calibration, budgets: Mapping[str, Budget], plot: Path | None, echo: Echo
) -> None:
    rates = {level: budget.false_alarms for level, budget in budgets.items()}
    both = curves(made.search, made.found, max(rates.values()))
    echo("what a budget buys, on the simulated sites that the limits were searched on:")
    for line in printed(both):
        echo(f"  {line}")
    if plot is not None:
        note = f"Simulated slopes, table {made.tree['version']}: what a false alarm buys"
        drawn(both, rates, note).savefig(plot, dpi=150)
        echo(f"drew {plot}")


def _tell_history(service: Service, name: str, table: ThresholdTable, echo: Echo) -> None:
    """The table stands by now: a site whose past cannot be read only goes without its check."""
    site = load_sites(service, name)[0]
    try:
        with state_of(service, name, echo) as (state, _):
            lines = told(own_history(site, state, table))
    except SlopewatchError as error:
        lines = [f"{name}: no check by own history: {error}"]
    for line in lines:
        echo(line)
