import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core import kalman
from services.inference.numerics import residual_filter as rf
from services.inference.numerics.cycles import CYCLE_MM, NEVER, Slips, slipped

walks = st.tuples(st.floats(0.0, 0.5), st.floats(1e-6, 1e-1))


@given(walks, st.floats(0.0, 40.0), st.floats(0.0, 40.0))
def test_two_steps_equal_one(walk, a, b):
    decay, intensity = walk
    process = rf.Walk(intensity, decay)
    state = kalman.TrendState(*(np.array([v]) for v in (3.0, 0.4, 2.0, 0.1, 0.05)))
    twice = rf.carry(rf.carry(state, rf.step(process, a)), rf.step(process, b))
    once = rf.carry(state, rf.step(process, a + b))
    for one, other in zip(once, twice, strict=True):
        assert one == pytest.approx(other, rel=1e-7, abs=1e-10)


def test_without_decay_it_is_the_local_linear_trend():
    state = kalman.TrendState(*(np.array([v]) for v in (3.0, 0.4, 2.0, 0.1, 0.05)))
    mine = rf.carry(state, rf.step(rf.Walk(1e-3, 0.0), 12.0))
    for one, other in zip(mine, kalman.predict(state, 12.0, 1e-3), strict=True):
        assert one == pytest.approx(other, rel=1e-12)


def test_long_steps_forget_the_rate_and_reach_its_long_run_variance():
    process = rf.stationary(2e-3, 0.05)
    state = kalman.TrendState(*(np.array([v]) for v in (0.0, 5.0, 1.0, 0.0, 1.0)))
    late = rf.carry(state, rf.step(process, 1000.0))
    assert late.velocity_mm_d == pytest.approx(0.0, abs=1e-12)
    assert late.displacement_mm == pytest.approx(5.0 / 0.05)
    assert late.var_velocity == pytest.approx(2e-3 / (2 * 0.05))


def test_the_likelihood_is_that_of_statsmodels():
    sm = pytest.importorskip("statsmodels.tsa.statespace.mlemodel")
    rng = np.random.default_rng(3)
    shown = np.cumsum(rng.normal(0.2, 1.0, 60))
    days = np.arange(60)[:, None]
    q, r = 0.04, 2.0
    made = rf.run(days, shown[:, None], np.full((60, 1), r), rf.Walk(q, 0.0, 0.3), NEVER)

    class Trend(sm.MLEModel):
        def __init__(self):
            super().__init__(shown[1:], k_states=2, k_posdef=2)
            self["design"] = np.array([[1.0, 0.0]])
            self["transition"] = np.array([[1.0, 1.0], [0.0, 1.0]])
            self["selection"] = np.eye(2)
            self["state_cov"] = q * np.array([[1 / 3, 1 / 2], [1 / 2, 1.0]])
            self["obs_cov"] = np.array([[r]])
            first = np.array([[r + 0.09 + q / 3, 0.09 + q / 2], [0.09 + q / 2, 0.09 + q]])
            self.ssm.initialize_known(np.array([shown[0], 0.0]), first)
            self.ssm.tolerance = 0.0  # no stop at a steady state

    peer = Trend().ssm.filter()
    assert made.innovation_mm[1:, 0] == pytest.approx(peer.forecasts_error[0], rel=1e-9)
    assert made.variance_mm2[1:, 0] == pytest.approx(peer.forecasts_error_cov[0, 0], rel=1e-9)
    assert made.state.displacement_mm[0] == pytest.approx(peer.filtered_state[0, -1], rel=1e-9)


def test_a_series_that_begins_late_or_never_is_left_alone():
    days = np.repeat(np.arange(0, 60, 12)[:, None], 3, axis=1)
    shown = np.array([[np.nan, 0.0, np.nan]] * 2 + [[5.0, 1.0, np.nan]] * 3)
    made = rf.run(days, shown, np.ones(shown.shape), rf.Walk(1e-4, 0.0), NEVER)
    assert np.isnan(made.state.displacement_mm[2])
    assert made.state.displacement_mm[0] == pytest.approx(5.0)
    assert np.isnan(made.innovation_mm[:3, 0]).all()


def test_a_regressor_that_is_the_series_has_its_innovations():
    rng = np.random.default_rng(1)
    days = np.cumsum(rng.integers(6, 30, (40, 2)), axis=0)
    shown = rng.normal(0.0, 5.0, (40, 2)).cumsum(axis=0)
    shown[7, 0] = shown[0, 1] = np.nan
    walk = rf.stationary(np.array([1e-3, 1e-2]), np.array([0.0, 0.02]))
    made = rf.run(days, shown, np.full((40, 2), 4.0), walk, NEVER)
    new = rf.sweep(days, np.nan_to_num(shown)[..., None], np.isfinite(shown), made, walk)[..., 0]
    told = np.isfinite(made.innovation_mm)
    assert new[told] == pytest.approx(made.innovation_mm[told], abs=1e-9)
    assert (new[~told] == 0).all()


def test_a_lost_cycle_is_told_and_given_back():
    days = np.arange(0, 720, 12)[:, None]
    shown = -0.5 * days.astype(float)
    lost = np.where(days >= 360, CYCLE_MM, 0.0)
    variance = np.full(shown.shape, 4.0)
    made = rf.run(days, shown + lost, variance, rf.Walk(1e-4, 0.0), Slips())
    assert (made.lost_mm == lost).all()
    assert made.state.displacement_mm[0] == pytest.approx(shown[-1, 0], abs=0.3)
    blind = rf.run(days, shown + lost, variance, rf.Walk(1e-4, 0.0), NEVER)
    assert (blind.lost_mm == 0).all()


def test_a_surprise_that_is_no_cycle_stays():
    surprise = np.array([5.0, -13.0, 40.0, np.nan, CYCLE_MM, -2 * CYCLE_MM, 1e5])
    variance = np.full(7, 9.0)
    told = slipped(surprise, variance, Slips())
    assert told == pytest.approx([0, 0, CYCLE_MM, 0, CYCLE_MM, -2 * CYCLE_MM, 2 * CYCLE_MM])
    assert (slipped(surprise, np.full(7, 400.0), Slips())[:6] == 0).all()
