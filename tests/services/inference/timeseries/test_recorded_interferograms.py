"""Thirty Sentinel-1 interferograms over Mexico City (the PyRate example stack, 12-day cycle)."""

import os
from datetime import datetime
from pathlib import Path

import numpy as np
import pytest
import rasterio

from core.geometry import phase_to_los_mm
from core.kinematics import DAYS_PER_YEAR
from services.inference.timeseries import closure
from services.inference.timeseries.links import Pair
from services.inference.timeseries.network import invert
from services.inference.timeseries.sequential import add_pairs, begin, estimate

HERE = Path(__file__).resolve()
ROOT = next(folder for folder in HERE.parents if (folder / "pyproject.toml").exists())
RECORDED = Path(os.environ.get("SLOPEWATCH_RECORDED", ROOT.parent / "shared"))
STACK = RECORDED / "data" / "pyrate_cropA_s1" / "geotiffs"


def dates_of(path):
    return Pair(
        *(datetime.strptime(d, "%Y%m%d").date() for d in path.name.split("_")[1].split("-"))
    )


@pytest.fixture(scope="module")
def stack():
    """Pairs and phase (pairs, rows, columns) in rad, NaN for nodata."""
    if not STACK.is_dir():
        reason = f"The recorded interferograms are not at {STACK}; set SLOPEWATCH_RECORDED."
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    paths = sorted(STACK.glob("cropA_*_VV_8rlks_eqa_unw.tif"))
    images = []
    for path in paths:
        with rasterio.open(path) as source:
            image = source.read(1).astype(np.float64)
        images.append(np.where(image == 0.0, np.nan, image))
    return [dates_of(path) for path in paths], np.stack(images)


@pytest.fixture(scope="module")
def common(stack):
    """Pairs and phase (pairs, pixels) where all pairs are valid, scene medians removed."""
    pairs, images = stack
    phase = images.reshape(len(pairs), -1)
    phase = phase[:, np.isfinite(phase).all(axis=0)]
    return pairs, phase - np.median(phase, axis=1, keepdims=True)


def rms(inversion):
    return float(np.sqrt(np.mean(inversion.residual_rms**2)))


def test_the_stack_is_the_one_described(common):
    pairs, phase = common
    assert phase.shape == (30, 5882)
    assert len({epoch for pair in pairs for epoch in pair}) == 13


def test_residuals_about_the_scene_median(common):
    pairs, phase = common
    found = invert(phase, pairs)
    assert found.connected.all()
    assert rms(found) == pytest.approx(0.276, abs=0.001)
    weighted = invert(phase, pairs, np.ones_like(phase))
    assert rms(weighted) == pytest.approx(rms(found), rel=1e-9)


def test_residuals_about_firm_ground(stack):
    pairs, images = stack
    firm = np.nanmedian(images[:, :30, :10].reshape(len(pairs), -1), axis=1)
    phase = (images - firm[:, None, None]).reshape(len(pairs), -1)
    found = invert(phase[:, np.isfinite(phase).all(axis=0)], pairs)
    assert rms(found) == pytest.approx(0.344, abs=0.0015)


def test_rates_about_the_median(common):
    pairs, phase = common
    found = invert(phase, pairs)
    days = np.asarray([(epoch - found.epochs[0]).days for epoch in found.epochs])
    rate = np.polyfit(days, phase_to_los_mm(found.phase), 1)[0] * DAYS_PER_YEAR
    rate -= np.median(rate)
    assert rate.min() == pytest.approx(-209, abs=1)
    assert rate.max() == pytest.approx(101, abs=1)


def test_triplets_close_but_for_a_few_pixels(common):
    pairs, phase = common
    closed = closure.triplets(pairs)
    assert len(closed) == 24
    # Eighteen loops are independent; the triplets span all but one of them.
    assert closure.independent_loops(pairs) == 18
    assert closure.independent_triplets(closed) == 17
    found = closure.summarise(closure.closure_phase(phase, closed))
    assert np.all(found.pixels == 5882)
    assert np.all(found.whole_cycle_share < 0.002)


def test_sequential_equals_batch(stack):
    pairs, images = stack
    phase = images.reshape(len(pairs), -1)
    phase = phase - np.nanmedian(phase, axis=1, keepdims=True)
    variance = 0.1 + np.arange(30.0)[:, None] / 10
    batch = invert(phase, pairs, variance)
    state = begin(batch.epochs[0], phase.shape[1])
    by_arrival = sorted(range(30), key=lambda row: (pairs[row].secondary, pairs[row].reference))
    for row in by_arrival:
        one = slice(row, row + 1)
        state = add_pairs(state, phase[one], [pairs[row]], variance[one], window=9)
    found = estimate(state)
    assert found.epochs == batch.epochs[-9:]
    np.testing.assert_allclose(found.phase, batch.phase[-9:], atol=1e-6)
    np.testing.assert_allclose(found.sigma, batch.sigma[-9:], atol=1e-6)
