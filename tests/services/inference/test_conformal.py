"""Intervals: coverage where nothing drifts and where it does, groups, feedback in its time."""

from __future__ import annotations

import pathlib
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.artifacts import pack, unpack
from core.errors import BadInputError, SettingsError
from services.inference.model import HORIZONS_D, Path
from services.inference.trust import conformal, groups, inner, priors, tally
from services.inference.trust.conformal import Arrived, Issued, State
from tests.services.inference.plain_history import PlainHistory, Stays, Told, record

H = len(HORIZONS_D)
L90 = conformal.LEVELS.index(0.9)


def _issued(state: State, day: int, sd: float, group: int = 0, series: int = 1) -> Issued:
    """Forecasts of zero with this stated sd."""
    groups_ = np.full(series, group)
    factor, pool = conformal.multipliers(state, groups_, np.zeros(series, np.int64))
    flat = np.full((H, series), sd)
    return Issued(day, np.zeros((H, series)), factor * flat, factor * flat, pool * flat, groups_)


def _watch(state: State, errors: np.ndarray, group: int = 0) -> tuple[State, np.ndarray]:
    """Epochs every 12 days with these errors, of forecasts that state sd 1; who was covered."""
    kept: list[Issued] = []
    covered = []
    for number, error in enumerate(errors):
        epoch = 12 * number + 30
        for day in sorted(epoch - h for h in (HORIZONS_D if number < 2 else (0, 1, 3, 6))):
            kept.append(_issued(state, day, 1.0, group))
        met = {one.day: one for one in kept}
        halves = [met[epoch - h].half_mm[L90, i, 0] for i, h in enumerate(HORIZONS_D)]
        covered.append(np.abs(error) <= halves)
        place = np.zeros(1, np.int64)
        state = conformal.learn(state, Arrived(np.array([epoch]), np.array([error]), place), kept)
        kept = [one for one in kept if one.day > epoch - conformal.MEMORY_D]
    return state, np.array(covered)


def test_exchangeable_scores_are_covered_as_often_as_was_promised() -> None:
    rng = np.random.default_rng(4)
    _, covered = _watch(conformal.begin(), rng.standard_t(4, 1000))
    assert covered.mean(axis=0) == pytest.approx(np.full(H, 0.9), abs=0.02)


def test_coverage_comes_back_after_the_errors_have_doubled() -> None:
    rng = np.random.default_rng(5)
    errors = rng.normal(size=700)
    errors[300:] *= 2
    _, covered = _watch(conformal.begin(), errors)
    assert covered[300:315].mean() < 0.8
    assert covered[-250:].mean(axis=0) == pytest.approx(np.full(H, 0.9), abs=0.035)


def test_coverage_comes_back_after_a_stated_sd_that_was_ten_times_too_large() -> None:
    rng = np.random.default_rng(6)
    state, covered = _watch(conformal.begin(), 0.1 * rng.normal(size=900))
    assert covered[-400:].mean() == pytest.approx(0.9, abs=0.03)
    assert conformal.multipliers(state, np.zeros(1, int), np.zeros(1, int))[0][L90] == (
        pytest.approx(np.full((H, 1), 0.1645), rel=0.3)
    )


def test_half_width_of_an_untaught_state_is_that_of_a_normal_distribution() -> None:
    history = record(lambda day: 0.1 * day)
    known = history.known(700)
    path = Told("kalman", lambda day: 0.1 * day, sd_mm=1.5).forecast({}, known)
    low, high = conformal.band(conformal.issue(conformal.begin(), known, path))
    assert (high - low) / 2 == pytest.approx(np.full(low.shape, 1.6448536 * np.hypot(1.5, 2.0)))
    low, high = conformal.band(conformal.issue(conformal.begin(), known, path), 0.5, latent=True)
    assert (high - low) / 2 == pytest.approx(np.full(low.shape, 0.6744898 * 1.5))


def test_a_miss_widens_and_a_hit_narrows() -> None:
    state = conformal.begin()
    wider = _learn_one(state, 9.0)
    narrower = _learn_one(state, 0.1)
    assert wider.shift == pytest.approx(np.array([[0.5], [0.9]]) * conformal.STEP * np.ones(H))
    assert narrower.shift == pytest.approx(-np.array([[0.5], [0.1]]) * conformal.STEP * np.ones(H))


def _learn_one(state: State, error: float, group: int = 0) -> State:
    issued = [_issued(state, 100 - h, 1.0, group) for h in HORIZONS_D]
    epoch = Arrived(np.array([100]), np.array([error]), np.zeros(1, np.int64))
    return conformal.learn(state, epoch, issued)


def test_points_of_one_site_and_epoch_count_as_one() -> None:
    state = conformal.begin()
    issued = [_issued(state, 100 - h, 1.0, series=50) for h in HORIZONS_D]
    epoch = Arrived(np.full(50, 100), np.full(50, 0.7), np.zeros(50, np.int64))
    many = conformal.learn(state, epoch, issued)
    one = _learn_one(state, 0.7)
    assert many.scores == pytest.approx(one.scores)
    assert many.shift == pytest.approx(one.shift)
    assert one.scores.sum(axis=(1, 2)) == pytest.approx(np.ones(H))


def test_one_forecast_is_judged_for_each_horizon_and_the_exact_lead_is_preferred() -> None:
    state = conformal.begin()
    days = [*range(60, 101)]
    all_days = [_issued(state, d, 1.0 + d, series=1) for d in days]
    exact = [one for one in all_days if 100 - one.day in HORIZONS_D]
    epoch = Arrived(np.array([100]), np.array([30.0]), np.zeros(1, np.int64))
    every, few = conformal.learn(state, epoch, all_days), conformal.learn(state, epoch, exact)
    assert np.array_equal(every.scores, few.scores)
    assert every.scores.sum() == pytest.approx(H)


def test_between_horizons_the_forecast_is_interpolated() -> None:
    state = conformal.begin()
    one = _issued(state, 91, 1.0)  # 9 days ahead: nearest to 12 or 6, half-way between them
    one = one._replace(mean_mm=np.array(HORIZONS_D, float)[:, None])
    epoch = Arrived(np.array([100]), np.array([9.0]), np.zeros(1, np.int64))
    after = conformal.learn(state, epoch, [one])
    assert after.scores.sum() == pytest.approx(1.0)
    assert after.scores[:, :, 0].sum() == pytest.approx(1.0)  # no error at all


@given(st.integers(0, 2**32 - 1))
def test_nothing_is_learned_from_an_epoch_without_a_forecast(seed: int) -> None:
    rng = np.random.default_rng(seed)
    state = _learn_one(conformal.begin(), float(rng.normal()))
    epoch = Arrived(np.array([100]), np.array([5.0]), np.zeros(1, np.int64))
    late = [_issued(state, int(d), 1.0) for d in rng.integers(101, 140, 5)]
    early = [_issued(state, int(d), 1.0) for d in rng.integers(20, 70, 5)]
    assert conformal.learn(state, epoch, late + early) is state


def _replayed(history: PlainHistory, until: int) -> tuple[State, Issued]:
    """A service's days from 600 on: learn what arrived, then issue."""
    state, model, kept = conformal.begin(), Stays(), []
    before = history.known(599)
    for day in range(600, until + 1):
        known = history.known(day)
        for epoch in conformal.arrivals(before, known):
            state = conformal.learn(state, epoch, kept)
        issued = conformal.issue(state, known, model.forecast({}, known))
        kept = [*(one for one in kept if one.day > day - conformal.MEMORY_D), issued]
        before = known
    return state, issued


def test_an_epoch_that_has_not_arrived_changes_no_bit() -> None:
    history = record(lambda day: 5 * np.sin(day / 40), series=2, days=900)
    day = 733  # epoch 725 is known since 727; epoch 737 is under way
    state, issued = _replayed(history, day)
    other_state, other = _replayed(history.with_another_future(day), day)
    assert pack(conformal.arrays(state)) == pack(conformal.arrays(other_state))
    assert all(np.array_equal(a, b) for a, b in zip(issued, other, strict=True))
    changed, _ = _replayed(history.with_another_future(700), day)
    assert pack(conformal.arrays(state)) != pack(conformal.arrays(changed))


def test_feedback_waits_until_the_epoch_arrives() -> None:
    history = record(lambda day: 0 * day, series=1, days=900)
    slow = replace(history, arrival_day=history.epoch_day + 9)
    epoch_day = 725
    assert np.array_equal(_replayed(slow, 733)[0].scores, _replayed(slow, 730)[0].scores)
    later = _replayed(slow, epoch_day + 9)[0]
    assert later.scores.sum() > _replayed(slow, 733)[0].scores.sum()


def test_arrivals_tell_a_late_epoch_once() -> None:
    history = record(lambda day: day, series=2, days=900)
    arrival = history.arrival_day.copy()
    arrival[58, 0] += 20  # epoch 701 of the first series, after that of 713
    history = replace(history, arrival_day=arrival)
    told = []
    before = history.known(690)
    for day in range(691, 760):
        now = history.known(day)
        for one in conformal.arrivals(before, now):
            told += [(int(one.epoch_day[0]), day, *np.isfinite(one.los_mm).tolist())]
        before = now
    assert (701, 703, False, True) in told
    assert (701, 723, True, False) in told
    assert (713, 715, True, True) in told
    assert len(told) == len(set(told)) == 7  # six passes, one of them in two parts


def test_a_group_below_sixty_takes_its_parents_word() -> None:
    rng = np.random.default_rng(7)
    wide, narrow = 3.0, 1.0
    small, large = 1, 8  # both slow; small is quiescent, large another season

    def prior(count: int) -> np.ndarray:
        group = np.concatenate([np.full(count, small), np.full(4000, large)])
        scale = np.concatenate([np.full(count, wide), np.full(4000, narrow)])
        score = np.abs(rng.normal(size=group.size)) * scale
        shape = (H, group.size)
        return conformal.prior_of(
            np.broadcast_to(score, shape),
            np.broadcast_to(group, shape),
            np.arange(group.size),
        )

    few, many = prior(59)[L90, 0], prior(600)[L90, 0]
    assert few[small] == pytest.approx(few[small + 40], rel=0.2)  # as any group without data
    assert few[small] < 2.2
    assert many[small] == pytest.approx(1.645 * wide, rel=0.2)
    assert many[large] == pytest.approx(1.645 * narrow, rel=0.1)


def test_the_pools_multiplier_is_used_for_its_model_and_no_other() -> None:
    table = 2.0 * conformal.normal()
    state = conformal.begin({"kalman": table})
    history = record(lambda day: 0 * day, series=2)
    known = history.known(800)
    path = Told("kalman", lambda day: 0 * day).forecast({}, known)
    issued = conformal.issue(state, known, path, ["kalman", "unheard_of"])
    assert issued.half_mm[:, :, 0] == pytest.approx(2 * issued.half_mm[:, :, 1])


def test_groups_are_known_at_issue() -> None:
    history = record(lambda day: 0 * day, series=2)
    known = history.known(365 + 130)  # in May
    path = Told("kalman", lambda day: 0.5 * day).forecast({}, known)
    rate = groups.predicted_rate_mm_d(path)
    assert rate == pytest.approx([0.5, 0.5])
    group = groups.with_rate(groups.standing(known), rate, np.array([0.1, 0.4]))
    assert [groups.name_of(int(g)) for g in group] == [
        "fast, drawdown, lower, clear",
        "fast, drawdown, upper, clear",
    ]


@pytest.mark.parametrize(
    ("day", "season"), [(0, 0), (119, 0), (120, 1), (171, 2), (253, 3), (303, 3), (304, 0)]
)
def test_seasons_follow_the_calendar(day: int, season: int) -> None:
    assert groups.season_of(day) == season


def test_usual_noise_is_that_of_the_last_ten_observations() -> None:
    history = record(lambda day: 0 * day, series=2, days=400)
    sd = history.sd_mm.copy()
    sd[:-10] = 99.0
    los = history.los_mm.copy()
    los[:, 1] = np.nan
    known = replace(history, sd_mm=sd, los_mm=los).known(500 - 100)
    usual = groups.usual_sd_mm(known)
    assert usual[0] == pytest.approx(2.0)
    assert np.isnan(usual[1])


def test_a_series_never_measured_has_no_interval() -> None:
    history = record(lambda day: 0 * day, series=2, days=900)
    los = history.los_mm.copy()
    los[:, 1] = np.nan
    known = replace(history, los_mm=los).known(800)
    low, _ = conformal.band(conformal.issue(conformal.begin(), known, Stays().forecast({}, known)))
    assert np.isfinite(low[:, 0]).all()
    assert np.isnan(low[:, 1]).all()


def test_a_state_survives_packing_bit_for_bit() -> None:
    state = _learn_one(conformal.begin({"kalman": 1.1 * conformal.normal()}), 1.3)
    content = pack(conformal.arrays(state))
    back = conformal.from_arrays(unpack(content))
    assert pack(conformal.arrays(back)) == content
    assert back.models == ("", "kalman")


def test_a_state_of_another_shape_is_refused() -> None:
    named = conformal.arrays(conformal.begin())
    with pytest.raises(BadInputError, match="shift is not of shape"):
        conformal.from_arrays({**named, "shift": np.zeros((1, H))})
    del named["scores"]
    with pytest.raises(BadInputError, match="lacks 'scores'"):
        conformal.from_arrays(named)


@given(
    st.lists(st.floats(0.03, 15.0), min_size=1, max_size=40),
    st.floats(0.05, 0.95),
)
def test_a_tallys_quantile_is_within_a_bin_of_the_sorted_scores(
    scores: list[float], level: float
) -> None:
    score = np.array(scores)[None]
    counted = tally.added(
        tally.empty()[:1], np.zeros(score.shape, int), score, np.ones(score.shape), 0.0
    )
    found = float(tally._log_quantiles(counted.sum(axis=1), (level,))[0, 0])
    rank = min(int(np.ceil(round((len(scores) + 1) * level, 9))), len(scores))
    exact = np.log(np.sort(score[0])[rank - 1])
    assert abs(found - exact) <= tally._STEP + 1e-9


def test_a_path_of_thirty_one_days_is_read_at_the_horizons() -> None:
    history = record(lambda day: 0 * day, series=1)
    known = history.known(800)
    days = np.arange(31.0)[:, None]
    issued = conformal.issue(conformal.begin(), known, Path(days, 1 + 0 * days))
    assert issued.mean_mm[:, 0].tolist() == list(HORIZONS_D)


def test_the_inner_fold_teaches_the_scale_of_a_model_that_misstates_its_sd() -> None:
    history = record(lambda day: 0 * day, series=4, days=2200)
    models = {"kalman": Told("kalman", lambda day: 0 * day, sd_mm=6.0)}  # 2 mm are observed
    scores = inner.inner_scores(history, models, 2150)
    state = conformal.taught(conformal.begin(), scores, ["kalman"] * 4)
    half, _ = conformal.multipliers(state, np.zeros(1, np.int64), np.zeros(1, np.int64))
    assert (half[L90] < 0.85 * 1.645).all()
    silent = conformal.taught(conformal.begin(), scores, ["unheard_of"] * 4)
    assert np.array_equal(silent.scores, tally.empty())


def test_a_pool_teaches_each_model_its_own_multipliers() -> None:
    history = record(lambda day: 0 * day, series=60, places=60, days=1000)
    models = {
        "kalman": Told("kalman", lambda day: 0 * day, sd_mm=0.0),
        "linear": Told("linear", lambda day: 0 * day, sd_mm=np.hypot(4.0, 2.0)),
    }
    scores = inner.inner_scores(history, models, 990)
    priors = conformal.priors_of(scores, np.array([np.inf, np.inf]))
    assert priors["kalman"][L90, :, 0] == pytest.approx(np.full(H, 1.645), rel=0.1)
    assert priors["linear"][L90, :, 0] == pytest.approx(np.full(H, 1.645 / 6**0.5), rel=0.1)


def test_what_a_pool_taught_is_written_and_read_back_and_missed_when_gone(
    tmp_path: pathlib.Path,
) -> None:
    history = record(lambda day: 0 * day, series=12, places=6, days=900)
    models = {"kalman": Told("kalman", lambda day: 0 * day, sd_mm=0.0)}
    taught = priors.of_pool(history, models, 500)
    state = taught.bands
    assert state.models == ("", "kalman")
    assert np.isfinite(state.edges_mm_d).all()
    priors.write(taught, tmp_path / "some.npz")
    back = priors.shipped(tmp_path / "some.npz")
    assert pack(conformal.arrays(back.bands)) == pack(conformal.arrays(state))
    assert back.reputation == taught.reputation
    with pytest.raises(SettingsError, match="install slopewatch anew"):
        priors.shipped(tmp_path / "gone.npz")


def test_nothing_later_than_the_pools_year_teaches() -> None:
    history = record(lambda day: 0 * day, series=6, places=6, days=1000)
    models = {"persistence": Stays()}
    one = priors.of_pool(history, models, 500)
    other = priors.of_pool(history.with_another_future(865), models, 500)
    assert pack(conformal.arrays(one.bands)) == pack(conformal.arrays(other.bands))
    assert one.reputation == other.reputation


def test_a_refit_keeps_what_was_learned_unless_the_pools_word_changed() -> None:
    begun = conformal.begin()
    learned = _learn_one(begun, 3.0)
    assert pack(conformal.arrays(conformal.refitted(learned, begun))) == pack(
        conformal.arrays(learned)
    )
    other = conformal.begin({"kalman": 2 * begun.prior[0]})
    assert conformal.refitted(learned, other) is other
