from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
import pytest

from core.events import ArtifactRef
from core.evidence import unpack_evidence
from core.settings import Noise, Site
from core.twin import Kind, Observed, Truth, observe, simulate
from services.inference.evidence import evidence_of
from services.inference.issuing.archive import DriverRecord
from services.inference.points import Points
from services.inference.state import DriverRow, nanoseconds
from services.inference.timeseries.motion import Layout
from services.inference.track import Entry, Track, Values, add_epoch, new_track
from services.scoring.pool import (
    FLANK_PIXELS,
    NOISE,
    Pool,
    filtered,
    joined,
    layout_of,
    make_pool,
)

SITE = Site.model_validate(
    {
        "name": "one",
        "area": (0, 0, 1, 1),
        "reference": {"scene_median": True},
        "slope_units": [{"id": "slope", "polygon": [(0, 0), (1, 0), (1, 1)]}],
        "noise": NOISE.model_dump(),
    }
)


LATER = nanoseconds(datetime(2100, 1, 1, tzinfo=UTC))
COMPARED = (
    *("innovation_z", "velocity_mm_d", "velocity_sd_mm_d", "out_of_range"),
    *(
        "observed_mm",
        "observed_sd_mm",
        "forecast_z",
        "conditioned_z",
        "expected_mm_d",
        "excess_mm_d",
    ),
    *("excess_sd_mm_d", "excess_change_mm_d2", "excess_change_sd_mm_d2"),
)


def readings_of(seen: Observed, site: int) -> DriverRecord:
    """Rain and level of a site as the service archives them, known at once."""
    return DriverRecord(
        [
            DriverRow(quantity, "gauge", day, float(value), 0, 0, day, 0)
            for quantity, values in (("rain", seen.gauge_mm), ("level", seen.level_m))
            for day, value in enumerate(values[site])
        ]
    )


def points_of(truth: Truth, site: int, layout: Layout) -> Points:
    count = truth.los_factor.shape[1]
    shared = np.full(count, (NOISE.atmosphere_sd_mm or 0.0) ** 2)
    return Points(
        lon=np.zeros(count),
        lat=np.zeros(count),
        unit=np.zeros(count, dtype=np.int64),
        factor=truth.los_factor[site].mean(keepdims=True),
        in_reference=np.zeros(count, dtype=bool),
        shared_mm2=shared,
        shared_unit_mm2=shared[:1],
        layout=layout,
    )


def through_the_service(truth: Truth, seen: Observed, site: int) -> Track:
    """One site's epochs, by arrival, through the service's own archive and fold."""
    batched = layout_of(1, 6)
    points = points_of(truth, site, Layout(batched.membership[0], batched.limit_mm[0]))
    track = new_track("t", points, ArtifactRef("0" * 64, 1), NOISE)
    used = np.flatnonzero(seen.epoch_day[site] >= 0)
    for seq, epoch in enumerate(used[np.argsort(seen.arrival_day[site, used], kind="stable")]):
        day = int(seen.epoch_day[site, epoch])
        values = Values(seen.los_mm[site, epoch], seen.sigma_mm[site, epoch])
        track = add_epoch(track, Entry(day, 0, 0, seq, 0), values, NOISE)
    return track


@pytest.mark.parametrize("kind", [Kind.QUIET, Kind.FAILING])
def test_a_site_in_a_pool_is_the_site_in_the_service_to_the_bit(kind: Kind) -> None:
    truth = simulate(range(5), kind, years=3)
    seen = observe(truth, flank_pixels=FLANK_PIXELS)
    pool = filtered(truth, seen)
    for site in range(5):
        track = through_the_service(truth, seen, site)
        used = pool.usable[site]
        evidence = unpack_evidence(evidence_of(track, SITE, readings_of(seen, site), LATER))
        np.testing.assert_array_equal(pool.evidence.epoch_day[site, used], evidence.epoch_day)
        for name in COMPARED:
            batched = getattr(pool.evidence, name)[site, used]
            np.testing.assert_array_equal(batched, getattr(evidence, name), err_msg=name)
        np.testing.assert_array_equal(pool.evidence.los_factor[site], evidence.los_factor)


def test_padding_says_nothing(pool: Pool) -> None:
    padding = ~pool.usable
    assert padding.any()
    assert np.isnan(pool.evidence.innovation_z[padding]).all()
    assert np.isnan(pool.evidence.velocity_mm_d[padding]).all()
    assert not pool.evidence.out_of_range[padding].any()
    assert np.all(pool.known_day[padding] == pool.days)


def test_an_epoch_is_known_after_the_day_of_its_arrival(pool: Pool) -> None:
    late = (pool.known_day - pool.evidence.epoch_day)[pool.usable & (pool.known_day < pool.days)]
    assert late.min() == 2
    assert late.max() == 8
    assert np.all(np.diff(pool.known_day, axis=1) >= 0)


def test_innovations_of_quiet_sites_are_about_white_with_unit_variance() -> None:
    quiet = make_pool(range(5000, 5060), Kind.QUIET)
    z = quiet.evidence.innovation_z[:, 30:, 0]
    assert np.nanvar(z) == pytest.approx(1.05, abs=0.15)
    both = np.isfinite(z[:, 1:]) & np.isfinite(z[:, :-1])
    assert abs(np.mean((z[:, 1:] * z[:, :-1])[both]) / np.nanvar(z)) < 0.12


def test_a_pool_can_be_cut_and_joined(pool: Pool) -> None:
    quiet = pool.where(pool.kind == Kind.QUIET)
    rest = pool.where(pool.kind != Kind.QUIET)
    both = joined([quiet, rest])
    assert len(quiet) == 10
    np.testing.assert_array_equal(both.seeds, pool.seeds)
    np.testing.assert_array_equal(both.evidence.innovation_z, pool.evidence.innovation_z)
    assert both.evidence.units == ("slope",)


def test_what_cannot_be_pooled_is_refused(pool: Pool) -> None:
    with pytest.raises(ValueError, match="one length"):
        joined([])
    with pytest.raises(ValueError, match="one length"):
        joined([pool, make_pool([1], Kind.QUIET, years=2)])
    with pytest.raises(ValueError, match="atmosphere"):
        make_pool([1], Kind.QUIET, noise=Noise())
