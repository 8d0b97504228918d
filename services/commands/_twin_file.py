"""A simulated pool as a CF data set.

Days are numbers, not dates: the record has no year of its own and every year has 365 days.
"""

from __future__ import annotations

from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import numpy as np

from core.twin.pools import SimulatedPool
from core.twin.pools.plan import FROZEN
from core.twin.truth import fingerprint

if TYPE_CHECKING:
    import xarray as xr

_DAY_UNITS = "d"
_COUNTED = "counted from the first day of the record, a 1 January; every year has 365 days"


def dataset(pool: SimulatedPool) -> xr.Dataset:
    """The pool with units, signs and where it comes from.

    Dimensions: site, day, point (0 at the toe to 5 at the ridge), epoch (padded at its end), and
    ahead (days from the issue day, 0 to 9).
    """
    import xarray as xr

    variables = {**_traits(pool), **_truth(pool), **_seen(pool)}
    sites, days, points = pool.truth.displacement_mm.shape
    day = {"units": _DAY_UNITS, "long_name": "day of the record", "comment": _COUNTED}
    ahead = {"units": _DAY_UNITS, "long_name": "days from the issue day"}
    point = {"units": "1", "long_name": "observed point, from the toe up to the ridge"}
    return xr.Dataset(
        {name: (dims, values, attrs) for name, (dims, values, attrs) in variables.items()},
        coords={
            "site": ("site", np.arange(sites), {"units": "1", "long_name": "site in its pool"}),
            "day": ("day", np.arange(days), day),
            "point": ("point", np.arange(points), point),
            "ahead": ("ahead", np.arange(pool.prospects.rain_issued_mm.shape[2]), ahead),
        },
        attrs=_provenance(pool),
    )


def _provenance(pool: SimulatedPool) -> dict[str, str]:
    sites = len(pool.truth.seeds)
    return {
        "Conventions": "CF-1.11",
        "title": f"Simulated reservoir landslides: pool {pool.role}, noise {pool.noise}",
        "simulated": "true",
        "comment": "Simulated data. No real slope moved like this.",
        "source": f"slopewatch {version('slopewatch')}, digital twin, profile fidelity",
        "pool": FROZEN.removesuffix(".json"),
        "pool_role": pool.role,
        "noise": pool.noise,
        "command": f"slopewatch twin make --role {pool.role} --noise {pool.noise} --sites {sites}",
        "numpy_version": version("numpy"),
        "scipy_version": version("scipy"),
        "truth_sha256": fingerprint(pool.truth),
        "observed_sha256": fingerprint(pool.seen),
    }


_Variables = dict[str, tuple[tuple[str, ...], Any, dict[str, Any]]]


def _traits(pool: SimulatedPool) -> _Variables:
    truth = pool.truth
    site, none = ("site",), {"_FillValue": np.int64(-1)}
    return {
        "seed": (site, truth.seeds, {"long_name": "seed that the site is drawn from"}),
        "kind": (site, truth.kind.astype(object), {"long_name": "what the site does"}),
        "hydrology_family": (
            site,
            truth.hydrology_family.astype(object),
            {"long_name": "law of its ground water"},
        ),
        "runaway_family": (
            site,
            truth.runaway_family.astype(object),
            {"long_name": "law of its runaway"},
        ),
        "drainage": (
            site,
            truth.drainage.astype(object),
            {"long_name": "moves as the reservoir falls (drawdown) or stands high (buoyancy)"},
        ),
        "onset_day": (
            site,
            truth.onset_day,
            {"units": _DAY_UNITS, "long_name": "first day of its event", **none},
        ),
        "failure_day": (
            site,
            truth.failure_day,
            {"units": _DAY_UNITS, "long_name": "day of failure", **none},
        ),
        "distance_to_bank": (
            ("site", "point"),
            truth.distance_m,
            {"units": "m", "long_name": "distance from the bank"},
        ),
        "height_above_bank": (
            ("site", "point"),
            truth.height_m,
            {"units": "m", "long_name": "height above the bank"},
        ),
        "los_factor": (
            ("site", "point"),
            truth.los_factor,
            {
                "units": "1",
                "long_name": "line-of-sight displacement for a unit of downslope displacement",
                "positive": "toward the satellite",
            },
        ),
    }


def _truth(pool: SimulatedPool) -> _Variables:
    truth, daily = pool.truth, ("site", "day")
    return {
        "rain": (
            daily,
            truth.rain_mm,
            {
                "units": "mm d-1",
                "long_name": "rain on the slope (truth)",
                "cell_methods": "day: sum",
            },
        ),
        "reservoir_level": (
            daily,
            truth.level_m,
            {"units": "m", "long_name": "reservoir level above sea, known the day after"},
        ),
        "downslope_displacement": (
            ("site", "day", "point"),
            truth.displacement_mm,
            {
                "units": "mm",
                "long_name": "cumulative downslope displacement since day 0 (truth)",
                "positive": "downslope",
            },
        ),
    }


def _seen(pool: SimulatedPool) -> _Variables:
    seen, passes = pool.seen, ("site", "epoch")
    day = {"units": _DAY_UNITS, "comment": _COUNTED, "_FillValue": np.int64(-1)}
    return {
        "rain_gauge": (
            ("site", "day"),
            seen.gauge_mm,
            {
                "units": "mm d-1",
                "long_name": "rain as a gauge reports it the day after, with misses and errors",
            },
        ),
        "rain_issued": (
            ("site", "day", "ahead"),
            pool.prospects.rain_issued_mm,
            {
                "units": "mm d-1",
                "long_name": "expected gauge reading as issued at the end of a day",
                "comment": "further ahead the mean of the climate is issued",
            },
        ),
        "epoch_day": (passes, seen.epoch_day, {**day, "long_name": "day of acquisition"}),
        "arrival_day": (
            passes,
            seen.arrival_day,
            {**day, "long_name": "first day on which the epoch can be used"},
        ),
        "cycles_lost": (
            passes,
            seen.wrapped.astype(np.int8),
            {
                "units": "1",
                "long_name": "a point lost whole cycles since the epoch before (truth)",
                "flag_values": np.array([0, 1], dtype=np.int8),
                "flag_meanings": "no yes",
            },
        ),
        "los_displacement": (
            (*passes, "point"),
            seen.los_mm,
            {
                "units": "mm",
                "long_name": "observed cumulative line-of-sight displacement since the first epoch",
                "positive": "toward the satellite",
                "ancillary_variables": "los_displacement_sd",
            },
        ),
        "los_displacement_sd": (
            (*passes, "point"),
            seen.sigma_mm,
            {
                "units": "mm",
                "long_name": "stated standard deviation of one point's epoch, atmosphere left out",
            },
        ),
    }
