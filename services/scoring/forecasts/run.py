"""The whole scoring of forecasts: every model, noise mode and kind of drivers, once."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from typing import Final, NamedTuple

import numpy as np

from core.twin.pools import forecast_pool
from services.inference.model import Model
from services.scoring.forecasts import coverage, detail, published, skill
from services.scoring.forecasts.floor import floor
from services.scoring.forecasts.folds import ISSUE_EVERY_D, Fold, folds
from services.scoring.forecasts.issue import Issued, issue
from services.scoring.forecasts.models import Field, field, members, reason
from services.scoring.forecasts.oracle import Sample, oracle_widths
from services.scoring.forecasts.ruler import Ruler, Table
from services.scoring.forecasts.series import Ahead, PoolHistory
from services.scoring.forecasts.skill import DECIDING_D
from services.scoring.forecasts.start import prior_from, starts
from services.scoring.forecasts.units import as_units

FALLBACK: Final = "kalman_transfer"


class Scale(NamedTuple):
    """How much is run."""

    sites: int | None
    """Of the test pool, from its first; all for None."""
    noises: tuple[str, ...]
    """The first one is also that of the ceiling, the seeds, the intervals and the gate."""
    every_d: int
    development_sites: int
    """On which intervals begin."""
    oracle: Sample
    ceiling: bool = True
    seeds: bool = True
    role: str = "test"
    names: tuple[str, ...] | None = None
    """Of the models; all for None."""


CHEAP: Final = ("persistence", "linear", "kalman", "transfer")
FULL: Final = Scale(None, ("radar", "white-3", "white-5"), ISSUE_EVERY_D, 32, Sample(48, 1000))
SHORT: Final = Scale(16, ("radar",), ISSUE_EVERY_D, 8, Sample(16, 200), False, False, "development")
QUICK: Final = Scale(2, ("white-3",), 60, 2, Sample(2, 20), False, False, "development", CHEAP)
"""Whether it runs: cheap models, on development sites, so that nobody looks at test sites."""


class Section(NamedTuple):
    """Tables of one noise mode, and figures for machines."""

    noise: str
    tables: tuple[Table, ...]


Say = Callable[[str], None]


def run(scale: Scale, say: Say, workers: int = 1) -> tuple[Section, ...]:
    """Issue and score; `say` is told what is under way.

    With several `workers` noise modes run side by side, each in a process of its own; `say` must
    then be a function that can be named.
    """
    if workers == 1 or len(scale.noises) == 1:
        return tuple(section(noise, scale, say) for noise in scale.noises)
    apart = get_context("spawn")
    with ProcessPoolExecutor(workers, mp_context=apart) as pool:
        waiting = [pool.submit(section, noise, scale, say) for noise in scale.noises]
        return tuple(one.result() for one in waiting)


class _Told(NamedTuple):
    """Forecasts under one kind of drivers, inner year included, and who could not be run."""

    said: dict[str, Issued]
    absent: dict[str, str]

    @property
    def scored(self) -> dict[str, Issued]:
        return {name: one.of_folds() for name, one in self.said.items()}


def issue_all(
    models: tuple[Model, ...],
    history: PoolHistory,
    over: tuple[Fold, ...],
    every: int,
    say: Say,
) -> _Told:
    """Issue with every model; one that fails is told with its reason, the others go on."""
    said, absent = {}, {}
    for model in models:
        begin = time.perf_counter()
        try:
            said[model.name] = issue(model, history, over, every)
        except Exception as error:
            absent[model.name] = reason(error)
        seconds = time.perf_counter() - begin
        say(f"{history.pool.noise}, {history.drivers}: {model.name} {seconds:.1f} s")
    return _Told(said, absent)


def section(noise: str, scale: Scale, say: Say, chosen: Field | None = None) -> Section:
    """All tables of one noise mode; of all models there are, or of those chosen."""
    begin = time.perf_counter()
    chosen = chosen or field(scale.names)
    first = noise == scale.noises[0]
    pool = forecast_pool(scale.role, noise, scale.sites)
    say(f"{noise}: {len(pool.truth.seeds)} sites simulated in {time.perf_counter() - begin:.1f} s")
    history = PoolHistory(pool)
    over = folds(-1 if first else 0)
    told = issue_all(chosen.models, history, over, scale.every_d, say)
    scored = told.scored
    one = next(iter(scored.values()))
    ruler = Ruler(history, one.day, one.fold)
    what_if = _aware(chosen.models, scored, pool_history(pool, "what-if"), scale, say)
    extra = {"floor": floor(history, one.day, one.fold)}
    if scale.ceiling and first:
        true = _aware(chosen.models, {}, pool_history(pool, "true-hydrology"), scale, say)
        extra |= {f"{name}, true hydrology": issued for name, issued in true.items()}
    later = detail.later_epochs(history, one.day)
    tables = [
        *_skill_tables(ruler, scored, what_if, extra, noise),
        *_detail_tables(ruler, scored, later, noise),
    ]
    tables += _units(PoolHistory(as_units(pool)), chosen.models, scale, say)
    if first and scale.seeds:
        tables += _seeds(history, ruler, scored, scale, say)
    if first:
        tables += _service(history, ruler, told, later, scale, chosen, say)
    tables.append(_runs(told, chosen, noise))
    say(f"{noise}: {(time.perf_counter() - begin) / 60:.1f} minutes")
    return Section(noise, tuple(tables))


def pool_history(pool: object, drivers: Ahead) -> PoolHistory:
    """The same pool under another kind of drivers."""
    return PoolHistory(pool, drivers)  # type: ignore[arg-type]


def _aware(
    models: tuple[Model, ...],
    said: Mapping[str, Issued],
    history: PoolHistory,
    scale: Scale,
    say: Say,
) -> dict[str, Issued]:
    """Forecasts under other drivers; models that read none are taken from `said` as they are."""
    aware = tuple(model for model in models if model.needs)
    told = issue_all(aware, history, folds(), scale.every_d, say)
    return {
        model.name: told.said.get(model.name) or said[model.name]
        for model in models
        if model.name in told.said or (not model.needs and model.name in said)
    }


def _skill_tables(
    ruler: Ruler,
    said: Mapping[str, Issued],
    what_if: Mapping[str, Issued],
    extra: Mapping[str, Issued],
    noise: str,
) -> list[Table]:
    reference = said[FALLBACK] if FALLBACK in said else next(iter(said.values()))
    groups = list(ruler.groups(reference))
    at = f"+{DECIDING_D} d"
    tables = []
    for drivers, some in (("operational", said), ("what-if", what_if)):
        more = extra if drivers == "operational" else {"floor": extra["floor"]}
        tables += [
            skill.by_horizon(ruler, some, f"{noise}, {drivers}: error by horizon", more),
            skill.by_skill(ruler, some, f"{noise}, {drivers}: skill by horizon"),
            skill.comparison(
                ruler, some, groups, f"{noise}, {drivers}: against the best baseline, {at}"
            ),
        ]
    whole = {**said, "floor": extra["floor"]}
    grouped = skill.by_group(ruler, whole, groups, f"{noise}, operational: RMSE {at}, mm")
    note = f"Classes of predicted rate are those of {reference.name}: half, two fifths, a tenth."
    return [*tables, grouped._replace(notes=(note,))]


def _detail_tables(
    ruler: Ruler, said: Mapping[str, Issued], later: detail.Later, noise: str
) -> list[Table]:
    best = skill.best_baseline(ruler, said)
    title = f"{noise}, operational: other measures, +{DECIDING_D} d"
    return [
        detail.measures(ruler, said, best, title),
        detail.observed(ruler, said, later, f"{noise}, operational: against later epochs"),
    ]


def _units(history: PoolHistory, models: tuple[Model, ...], scale: Scale, say: Say) -> list[Table]:
    """The same for one slope unit a site, as the service publishes it."""
    said = issue_all(models, history, folds(), scale.every_d, lambda _: None).said
    one = next(iter(said.values()))
    ruler = Ruler(history, one.day, one.fold)
    groups = list(ruler.groups(said.get(FALLBACK, one)))
    title = f"{history.pool.noise}, operational, one unit a site"
    say(f"{title}: done")
    at = f"+{DECIDING_D} d"
    return [
        skill.by_horizon(
            ruler, said, f"{title}: error by horizon", {"floor": floor(history, one.day, one.fold)}
        ),
        skill.comparison(ruler, said, groups, f"{title}: against the best baseline, {at}"),
    ]


def _seeds(
    history: PoolHistory, ruler: Ruler, said: Mapping[str, Issued], scale: Scale, say: Say
) -> list[Table]:
    """Each member of an ensemble by itself, where a model has them."""
    rows: dict[str, Issued] = {}
    for name in said:
        told = issue_all(members(name), history, folds(), scale.every_d, say)
        rows |= told.said
    if not rows:
        return []
    return [skill.seeds(ruler, rows, f"{history.pool.noise}, operational: single networks")]


def _service(
    history: PoolHistory,
    ruler: Ruler,
    told: _Told,
    later: detail.Later,
    scale: Scale,
    chosen: Field,
    say: Say,
) -> list[Table]:
    """What would have been published, and the intervals it would have had."""
    begin = time.perf_counter()
    noise = history.pool.noise
    absent = {**chosen.absent, **told.absent}
    scored = told.scored
    development = PoolHistory(forecast_pool("development", noise, scale.development_sites))
    learned = issue_all(chosen.models, development, folds(-1)[:1], scale.every_d, say)
    origin = folds()[0].origin
    prior = prior_from(development, learned.said, origin)
    out = published.publish(history, told.said, folds(), absent, prior.reputation)
    tables = [published.who_spoke(ruler, scored, out, f"{noise}, operational: the gate")]
    where = oracle_widths(history, ruler.day, scale.oracle)
    names = dict.fromkeys([skill.best_baseline(ruler, scored), *_networks(scored)])
    for name, issued, speaker in (
        (published.NAME, out.issued, out.speaker),
        *((name, scored[name], np.full(out.speaker.shape, name)) for name in names),
    ):
        begun = starts(history, told.said, origin, prior.bands, [str(one) for one in speaker[0]])
        bands = coverage.carry(history, issued, begun, speaker)
        tables += [
            coverage.table(ruler, issued, bands, later, f"{noise}, operational: coverage, {name}"),
            coverage.widths(bands, where, f"{noise}, operational: width, {name}"),
        ]
    say(f"{noise}: gate, intervals and oracle {time.perf_counter() - begin:.1f} s")
    return tables


def _networks(said: Mapping[str, Issued]) -> list[str]:
    return [name for name in said if members(name)]


def _runs(told: _Told, chosen: Field, noise: str) -> Table:
    """Who ran, in how long, and who did not."""
    rows = [
        (name, f"{one.fit_s:.1f}", f"{1000 * one.forecast_s / one.day.size:.1f}", "")
        for name, one in told.said.items()
    ]
    missing = {**chosen.absent, **told.absent}
    rows += [(name, "-", "-", f"not run: {why}") for name, why in missing.items()]
    columns = ("model", "fits, s", "one issue, ms", "remark")
    return Table(f"{noise}: models", columns, tuple(rows))
