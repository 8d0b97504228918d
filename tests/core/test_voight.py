"""Time of failure: closed forms, recovery, calibration on its own prior, refusals, invariance."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy import integrate, special

from core import voight
from core.errors import BadInputError
from core.voight import FailureTime, Priors, Windows, failure_time, voight_excess_mm

PRIORS = Priors()
SIZE = 0.6
REVISIT = np.arange(24, -1, -1) * 12


def windows(observed: Any, sd: float = 3.0, days_ago: Any = REVISIT, **changes: Any) -> Windows:
    """Windows (B, N) with one noise, nothing expected, and 0.6 mm of sight for 1 mm of motion."""
    observed = np.atleast_2d(np.asarray(observed, dtype=float))
    fields = {
        "days_ago": np.broadcast_to(np.asarray(days_ago), observed.shape).astype(np.int64),
        "observed_mm": observed,
        "sd_mm": np.full(observed.shape, sd),
        "expected_mm": np.zeros(observed.shape),
        "size": np.full(len(observed), SIZE),
    }
    return Windows(**(fields | changes))


def runaway(onset_mm_d: Any, since: Any, left: Any, alpha: Any, days_ago: Any = REVISIT) -> Any:
    """Displacement (B, N) of creep of 0.2 mm/d and Voight's excess."""
    rate, since, left, alpha = (np.atleast_1d(x)[:, None] for x in (onset_mm_d, since, left, alpha))
    return -0.2 * days_ago + rate * voight_excess_mm(since - days_ago, since + left, alpha)


def only(found: FailureTime) -> FailureTime:
    return FailureTime(*(field[0] for field in found))


def from_prior(count: int, sd: float, rng: np.random.Generator) -> tuple[Windows, Any]:
    """Windows drawn from the priors of V, some epochs missing, and the days left of each."""
    since, left = np.zeros(0), np.zeros(0)
    while len(since) < count:
        e, r = rng.uniform(6, 400, count), rng.uniform(1, 400, count)
        kept = rng.uniform(size=count) < 7 / (e + r)
        since, left = np.append(since, e[kept]), np.append(left, r[kept])
    since, left = since[:count], left[:count]
    rate = np.abs(rng.normal(size=count)) * PRIORS.onset_mm_d * SIZE
    year = 2 * np.pi * REVISIT / 365.25
    column = rng.normal(size=(5, count, 1))
    expected = 10 * column[0] * np.sin(year) - 0.2 * REVISIT
    observed = (
        runaway(rate, since, left, rng.uniform(1.5, 2.5, count))
        + expected * (1 + PRIORS.hydrology_share * column[1])
        + PRIORS.season_mm * (column[2] * np.sin(year) + column[3] * np.cos(year))
        + 50 * column[4]
        + sd * rng.normal(size=(count, len(REVISIT)))
    )
    observed[:, :-1][rng.uniform(size=(count, len(REVISIT) - 1)) < 0.06] = np.nan
    return windows(observed, sd, expected_mm=expected), left


# The law


@pytest.mark.parametrize("alpha", [1.6, 2.0 - 1e-7, 2.0, 2.3])
def test_the_excess_is_the_integral_of_the_rate(alpha: float) -> None:
    power = 1 / (alpha - 1)
    expected, _ = integrate.quad(lambda s: (1 - s / 90.0) ** -power - 1, 0, 80.0)
    assert float(voight_excess_mm(80.0, 90.0, alpha)) == pytest.approx(expected, rel=1e-6)


def test_for_alpha_two_the_excess_is_the_logarithm_beyond_the_creep() -> None:
    found = float(voight_excess_mm(60.0, 100.0, 2.0))
    assert found == pytest.approx(100 * np.log(100 / 40) - 60, rel=1e-12)
    assert voight_excess_mm(np.array([-30.0, 0.0]), 100.0, 2.0).tolist() == [0.0, 0.0]


# The comparison


def test_the_bayes_factor_is_that_of_dense_gaussians() -> None:
    """Against a covariance matrix with wide priors and a numerical integral over the size."""
    rng = np.random.default_rng(4)
    days = np.sort(rng.choice(np.arange(1, 300), 14, replace=False))[::-1]
    days = np.append(days, 0)
    expected = np.cumsum(rng.uniform(0, 4, 15))
    sd = rng.uniform(2, 4, 15)
    observed = runaway(0.3, 130, 25, 1.9, days)[0] + expected + rng.normal(size=15) * sd
    year = 2 * np.pi * days / 365.25
    parts = [
        (np.ones(15), 1e4),
        (days / 100, 1e4),
        (expected, PRIORS.hydrology_share),
        (np.sin(year), PRIORS.season_mm),
        (np.cos(year), PRIORS.season_mm),
    ]
    covariance = np.diag(sd**2) + sum(np.outer(c, c) * s**2 for c, s in parts)
    precision, series = np.linalg.inv(covariance), observed - expected
    steps = np.linspace(0, 12, 40_001)

    def log_ratio(shape: Any) -> float:
        shape = shape * PRIORS.onset_mm_d * SIZE
        meets, curved = shape @ precision @ series, shape @ precision @ shape
        inside = steps * meets - steps**2 * (curved + 1) / 2
        top = inside.max()
        whole = integrate.simpson(np.exp(inside - top), x=steps)
        return float(top + np.log(2 * whole / np.sqrt(2 * np.pi)))

    since_edges, left_edges = np.geomspace(6, 400, 17), np.geomspace(1, 400, 17)
    since, left = (np.sqrt(e[1:] * e[:-1]) for e in (since_edges, left_edges))
    cells, logs = [], []
    for alpha in 1.5 + (np.arange(8) + 0.5) / 8:
        for i, e in enumerate(since):
            for j, r in enumerate(left):
                cells.append(np.diff(since_edges)[i] * np.diff(left_edges)[j] / (e + r))
                logs.append(log_ratio(voight_excess_mm(e - days, e + r, alpha)))
    runs_away = special.logsumexp(logs, b=np.array(cells) / sum(cells))
    calm, logs = np.repeat(np.diff(since_edges), 3), []
    for e in since:
        elapsed = np.maximum(e - days, 0.0)
        logs += [log_ratio(elapsed)]
        logs += [log_ratio(d * (1 - np.exp(-elapsed / d))) for d in (60.0, 20.0)]
    does_not = max(0.0, special.logsumexp(logs, b=calm / calm.sum()))
    found = only(
        failure_time(
            windows(observed, days_ago=days, sd_mm=sd[None], expected_mm=expected[None]), PRIORS
        )
    )
    assert found.log10_bayes_factor == pytest.approx((runs_away - does_not) / np.log(10), abs=2e-4)
    assert found.log10_bayes_factor > 0.3


@pytest.mark.parametrize(
    ("left", "since", "alpha"), [(15, 90, 2.0), (40, 150, 1.7), (40, 200, 2.3), (60, 240, 2.0)]
)
def test_an_exact_runaway_gives_its_time_of_failure(left: int, since: int, alpha: float) -> None:
    found = only(failure_time(windows(runaway(0.3, since, left, alpha), 0.3), PRIORS))
    assert found.refused == 0
    assert found.log10_bayes_factor > 3
    assert found.median_days == pytest.approx(left, rel=0.25)
    assert found.low_days < left < found.high_days
    true = int((since > REVISIT).sum())
    assert abs(found.epochs_in_acceleration - true) <= 3


@pytest.mark.parametrize("sd", [3.0, 1.0])
def test_intervals_are_calibrated_on_their_own_prior(sd: float) -> None:
    given, left = from_prior(2000, sd, np.random.default_rng(11))
    found = failure_time(given, PRIORS)
    inside = (left >= found.low_days) & (left <= found.high_days)
    assert np.mean(inside) == pytest.approx(0.8, abs=0.03)
    told = found.refused == 0
    assert np.mean(told) > 0.15
    assert np.mean(inside[told]) == pytest.approx(0.8, abs=0.05)
    assert np.mean(left[told] < found.median_days[told]) == pytest.approx(0.5, abs=0.05)
    expected = np.mean(found.probability_30d[told])
    assert np.mean(left[told] <= 30) == pytest.approx(expected, abs=0.04)


def test_motion_that_does_not_run_away_speaks_against_it() -> None:
    rng = np.random.default_rng(2)
    noise = 3.0 * rng.normal(size=(400, len(REVISIT)))
    year = 2 * np.pi * (REVISIT / 365.25 + rng.uniform(size=(400, 1)))
    series = {
        "steady": -0.3 * REVISIT + noise,
        "faster from some day on": -0.3 * REVISIT
        + 0.4 * np.maximum(rng.uniform(30, 250, (400, 1)) - REVISIT, 0)
        + noise,
        "seasonal": -0.3 * REVISIT + 3.0 * np.sin(year) + noise,
        "a step that dies away": -0.3 * REVISIT
        + 15 * -np.expm1(-np.maximum(rng.uniform(30, 250, (400, 1)) - REVISIT, 0) / 20)
        + noise,
    }
    for name, observed in series.items():
        found = failure_time(windows(observed), PRIORS)
        assert np.mean(found.log10_bayes_factor < 0) > 0.6, name
        assert np.mean(found.refused > 0) > 0.97, name


def test_what_rain_and_level_explain_is_no_runaway() -> None:
    """The same curve, once expected of rain and level and once not."""
    driven = runaway(0.3, 120, 30, 2.0)
    noise = 3.0 * np.random.default_rng(3).normal(size=driven.shape)
    surprising = only(failure_time(windows(driven + noise), PRIORS))
    explained = only(failure_time(windows(driven + noise, expected_mm=driven), PRIORS))
    stronger = only(failure_time(windows(1.2 * driven + noise, expected_mm=driven), PRIORS))
    assert (surprising.refused, surprising.log10_bayes_factor > 1.3) == (0, True)
    assert explained.log10_bayes_factor < 0
    assert stronger.log10_bayes_factor < 0


def test_a_larger_runaway_speaks_louder() -> None:
    shape = runaway(1.0, 110, 25, 2.0) + 0.2 * REVISIT
    sizes = np.array([0.0, 0.05, 0.1, 0.2, 0.4])[:, None]
    found = failure_time(windows(sizes * shape), PRIORS)
    assert np.all(np.diff(found.log10_bayes_factor) > 0)
    nearer = failure_time(windows(runaway([0.2] * 3, [110] * 3, [80, 40, 15], [2.0] * 3)), PRIORS)
    assert np.all(np.diff(nearer.median_days) < 0)
    assert np.all(np.diff(nearer.probability_30d) > 0)


# Refusals


def test_few_epochs_say_nothing() -> None:
    observed = runaway(0.3, 120, 20, 2.0)
    observed[:, :-7] = np.nan
    found = only(failure_time(windows(observed), PRIORS))
    assert found.log10_bayes_factor == -np.inf
    assert voight.REFUSALS[found.refused] == "fewer than 8 epochs in the window"
    observed[:, -8] = 0.0
    assert np.isfinite(only(failure_time(windows(observed), PRIORS)).log10_bayes_factor)


def test_epochs_past_the_window_are_left_out() -> None:
    observed, days = runaway(0.3, 120, 20, 2.0), REVISIT.copy()
    days[:17] += 365
    found = only(failure_time(windows(observed, days_ago=days), PRIORS))
    assert np.isfinite(found.log10_bayes_factor)
    days[17] += 365
    found = only(failure_time(windows(observed, days_ago=days), PRIORS))
    assert found.refused == 1


def test_no_time_is_told_without_evidence() -> None:
    found = only(failure_time(windows(runaway(0.01, 120, 60, 2.0)), PRIORS))
    assert found.log10_bayes_factor < 1
    assert "Bayes factor" in voight.REFUSALS[found.refused]


def test_no_time_is_told_with_three_epochs_in_the_acceleration() -> None:
    found = only(failure_time(windows(runaway(2.0, 34, 3, 1.6), 0.3), PRIORS))
    assert found.log10_bayes_factor > 1
    assert found.epochs_in_acceleration == 3
    assert voight.REFUSALS[found.refused] == "fewer than 4 epochs lie in the acceleration"


# Invariance


def noisy(count: int = 101) -> Windows:
    given, _ = from_prior(count, 2.0, np.random.default_rng(9))
    return given


def test_zero_and_creep_do_not_matter() -> None:
    given = noisy()
    moved = given._replace(observed_mm=given.observed_mm + 700.0 - 0.9 * given.days_ago)
    for one, other in zip(*(failure_time(w, PRIORS) for w in (given, moved)), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-6, atol=1e-7)


def test_another_unit_of_length_gives_the_same_answer() -> None:
    given = noisy()
    inches = given._replace(
        observed_mm=given.observed_mm * 4,
        sd_mm=given.sd_mm * 4,
        expected_mm=given.expected_mm * 4,
    )
    priors = PRIORS._replace(onset_mm_d=4 * PRIORS.onset_mm_d, season_mm=4 * PRIORS.season_mm)
    pair = failure_time(given, PRIORS), failure_time(inches, priors)
    for one, other in zip(*pair, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-9, atol=1e-9)


def test_extra_noise_adds_to_the_variance() -> None:
    given = noisy(5)
    loud = given._replace(sd_mm=np.hypot(given.sd_mm, 2.0))
    pair = failure_time(loud, PRIORS), failure_time(given, PRIORS._replace(extra_sd_mm=2.0))
    for one, other in zip(*pair, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-9)


def test_a_batch_gives_each_unit_the_bits_it_gets_alone() -> None:
    given = noisy()
    whole = failure_time(given, PRIORS)
    for size in (1, 3, 33):
        for at in range(0, 101 - size, 7):
            part = Windows(*(field[at : at + size] for field in given))
            for field, own in zip(whole, failure_time(part, PRIORS), strict=True):
                assert field[at : at + size].tobytes() == own.tobytes()


def test_no_unit_gives_nothing() -> None:
    assert [len(field) for field in failure_time(windows(np.zeros((0, 25))), PRIORS)] == [0] * 7


@pytest.mark.parametrize(
    "changes",
    [
        {"sd_mm": np.full((1, 24), 3.0)},
        {"size": np.full(2, 0.6)},
        {"sd_mm": np.zeros((1, 25))},
        {"size": np.array([-0.6])},
    ],
)
def test_windows_that_do_not_fit_are_bad_input(changes: dict[str, Any]) -> None:
    with pytest.raises(BadInputError, match="Windows of the failure time"):
        failure_time(windows(np.zeros(25), **changes), PRIORS)
