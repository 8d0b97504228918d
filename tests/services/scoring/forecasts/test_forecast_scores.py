from __future__ import annotations

import numpy as np
import pytest

from core.errors import BadInputError
from core.twin.continuation import continuations
from core.twin.pools import forecast_pool
from services.inference.known import Known
from services.inference.model import Parameters, Path
from services.inference.trust import conformal
from services.scoring.forecasts import coverage, detail, published, skill
from services.scoring.forecasts.floor import floor
from services.scoring.forecasts.folds import block_of, folds
from services.scoring.forecasts.issue import Issued, issue
from services.scoring.forecasts.models import Field, field
from services.scoring.forecasts.oracle import Sample, oracle_widths
from services.scoring.forecasts.replay import inner_year
from services.scoring.forecasts.ruler import Ruler
from services.scoring.forecasts.run import issue_all
from services.scoring.forecasts.series import PoolHistory
from services.scoring.forecasts.start import prior_from, starts
from tests.services.scoring.forecasts.slopes import slopes
from tests.services.scoring.forecasts.toys import Broken, Drifts, Rains, Stays

EVERY_D = 30
MODELS = (Stays(), Drifts(), Rains())


@pytest.fixture(scope="module")
def history() -> PoolHistory:
    return PoolHistory(slopes(4, "white-3"))


@pytest.fixture(scope="module")
def told(history: PoolHistory) -> dict[str, Issued]:
    """With the inner year."""
    return issue_all(MODELS, history, folds(-1), EVERY_D, lambda line: None).said


@pytest.fixture(scope="module")
def said(told: dict[str, Issued]) -> dict[str, Issued]:
    return {name: one.of_folds() for name, one in told.items()}


@pytest.fixture(scope="module")
def ruler(history: PoolHistory, said: dict[str, Issued]) -> Ruler:
    return Ruler(history, said["kalman"].day, said["kalman"].fold)


def speakers(issued: Issued, history: PoolHistory) -> np.ndarray:
    return np.full((issued.day.size, history.sites), issued.name)


def test_folds_begin_in_november_and_blocks_never_cross_them() -> None:
    assert [fold.origin for fold in folds()] == [1399, 1764, 2129]
    assert folds(-1)[0].origin == 1399 - 365
    day = np.concatenate([fold.issue_days() for fold in folds()])
    block = block_of(day)
    assert len(day) == 3 * 61
    for fold in folds():
        own = block[(day >= fold.origin) & (day < fold.origin + 365)]
        others = block[(day < fold.origin) | (day >= fold.origin + 365)]
        assert not set(own) & set(others)
        assert len(set(own)) == 6
    ends = [np.ptp(day[block == b]) for b in set(block)]
    assert min(ends) >= 54


def test_parameters_are_fitted_at_the_origin_and_then_stand_still(history: PoolHistory) -> None:
    fitted: list[int] = []

    class Asks(Stays):
        def fit(self, history: PoolHistory, day: int) -> Parameters:  # type: ignore[override]
            fitted.append(day)
            return {"origin": np.array(day)}

        def forecast(self, parameters: Parameters, known: Known) -> Path:
            assert 0 <= known.day - int(parameters["origin"]) < 365
            return super().forecast(parameters, known)

    found = issue(Asks(), history, folds(), 73)
    assert fitted == [fold.origin for fold in folds()]
    assert found.day.size == 15


def test_errors_are_predicted_less_true(history: PoolHistory, ruler: Ruler) -> None:
    plain = issue(Stays(), history, folds(), EVERY_D)
    shifted = issue(Stays(off_mm=2.0), history, folds(), EVERY_D)
    difference = ruler.error_mm(shifted, 12) - ruler.error_mm(plain, 12)
    np.testing.assert_allclose(difference, 2.0, atol=1e-4)
    day, series = int(plain.day[5]), 7
    known = history.known(day)
    last = known.los_mm[np.isfinite(known.los_mm[:, series]), series][-1]
    expected = last - history.target_mm[day + 12, series]
    assert ruler.error_mm(plain, 12)[5, series] == pytest.approx(expected, abs=1e-4)


def test_the_floor_is_the_weighted_mean_of_arrived_errors(
    history: PoolHistory, ruler: Ruler
) -> None:
    best = floor(history, ruler.day, ruler.fold)
    error = ruler.error_mm(best, 12)
    np.testing.assert_allclose(error, ruler.error_mm(best, 0), atol=1e-4)
    expected = np.nanmean(history.arrived_errors(int(ruler.day[4])), axis=0)
    np.testing.assert_allclose(error[4], expected, atol=1e-4)
    assert np.sqrt(np.mean(error**2)) < 0.6


def test_a_model_of_another_shape_is_refused(history: PoolHistory) -> None:
    class Short(Stays):
        def forecast(self, parameters: Parameters, known: Known) -> Path:
            path = super().forecast(parameters, known)
            return Path(path.displacement_mm[:30], path.sd_mm)

    with pytest.raises(BadInputError, match="shape"):
        issue(Short(), history, folds()[:1], 200)


def test_a_model_that_fails_is_told_with_its_reason_and_others_go_on(history: PoolHistory) -> None:
    told = issue_all((Broken(), Stays()), history, folds()[:1], 200, lambda line: None)
    assert told.absent == {"broken": "ValueError: no weights here"}
    assert list(told.said) == ["persistence"]


def test_a_model_that_is_not_there_is_told() -> None:
    found = field(("no_such_model",))
    assert found == Field((), {"no_such_model": "there is no such model"})


def test_skill_and_comparison_are_signed_so_that_lower_error_is_better(
    ruler: Ruler, said: dict[str, Issued]
) -> None:
    worse = said["kalman"]._replace(
        name="worse", displacement_mm=said["kalman"].displacement_mm + np.float32(30)
    )
    some = {"kalman": said["kalman"], "persistence": said["persistence"], "worse": worse}
    found = skill.against(ruler, worse, said["kalman"], 12)
    assert found.value > 0
    assert found.low > 0
    table = skill.by_skill(ruler, some, "skill")
    assert table.rows[-1][0] == "worse"
    assert table.rows[-1][5].startswith("-")
    groups = list(ruler.groups(said["kalman_transfer"]))
    assert not skill.verdict(ruler, worse, said["kalman"], groups).holds
    best = skill.best_baseline(ruler, some)
    halved = said[best]._replace(
        displacement_mm=(said[best].displacement_mm + ruler.target_mm) / np.float32(2)
    )
    held = skill.verdict(ruler, halved, said[best], groups)
    assert held.holds
    np.testing.assert_allclose(held.overall, -50, atol=1e-2)


def test_groups_of_a_division_hold_every_forecast_once(
    ruler: Ruler, said: dict[str, Issued]
) -> None:
    found: dict[str, np.ndarray] = {}
    for group in ruler.groups(said["kalman_transfer"]):
        whole = found.setdefault(group.division, np.zeros(group.inside.shape, int))
        whole += group.inside
    assert set(found) == {"fold", "season", "zone", "predicted rate", "site"}
    assert all((count == 1).all() for count in found.values())


def test_a_silent_model_is_scored_where_it_speaks_and_that_is_told(
    ruler: Ruler, said: dict[str, Issued]
) -> None:
    silent = said["kalman"].displacement_mm.copy()
    silent[:, :, :12] = np.nan
    one = said["kalman"]._replace(displacement_mm=silent)
    table = skill.by_horizon(ruler, {"kalman": one}, "error", {})
    assert table.rows[0][0] == "kalman (speaks 50 %)"
    np.testing.assert_allclose(skill.against(ruler, one, said["kalman"], 12), 0.0, atol=1e-9)


def test_later_epochs_are_those_of_the_days_ahead_that_had_not_arrived(
    history: PoolHistory, ruler: Ruler
) -> None:
    later = detail.later_epochs(history, ruler.day)
    assert later.issue.size > 2 * ruler.day.size
    for pair in range(0, later.issue.size, 17):
        day, site = int(ruler.day[later.issue[pair]]), int(later.site[pair])
        epoch = day + int(later.lead_d[pair])
        assert 0 <= later.lead_d[pair] <= 30
        assert epoch not in history.known(day).epoch_day[:, 6 * site]
        np.testing.assert_array_equal(
            later.true_mm[pair], history.target_mm[epoch, 6 * site : 6 * site + 6]
        )


def test_noise_taken_out_of_observed_scores_leaves_the_latent_one(
    ruler: Ruler, history: PoolHistory, said: dict[str, Issued]
) -> None:
    later = detail.later_epochs(history, ruler.day)
    row = detail.observed(ruler, {"kalman": said["kalman"]}, later, "later").rows[0]
    measured, cleaned, latent = (float(text) for text in row[4:7])
    assert measured > latent
    assert cleaned == pytest.approx(latent, rel=0.12)


def test_the_bias_of_the_fastest_is_positive_where_too_much_was_predicted(
    ruler: Ruler, said: dict[str, Issued]
) -> None:
    one = said["kalman"]
    double = one.displacement_mm[:, :1] + 3 * (one.displacement_mm - one.displacement_mm[:, :1])
    found = detail.fastest_bias(ruler, one._replace(displacement_mm=double), 12)
    assert float(found.split()[0]) > 1.0
    assert detail.fastest_bias(ruler, said["persistence"], 12) == "-"


def test_the_measures_name_every_model(ruler: Ruler, said: dict[str, Issued]) -> None:
    table = detail.measures(ruler, said, "kalman", "measures")
    assert [row[0] for row in table.rows] == list(said)
    assert all(len(row) == len(table.columns) for row in table.rows)
    assert table.rows[1][-1] == "-"


def test_the_published_path_is_the_chosen_models(
    history: PoolHistory, told: dict[str, Issued], said: dict[str, Issued]
) -> None:
    out = published.publish(history, told, folds(), {}, {})
    for number, choices in out.choices.items():
        rows = out.issued.fold == number
        for site, choice in enumerate(choices):
            own = np.ix_(rows, np.arange(31), np.arange(6 * site, 6 * site + 6))
            np.testing.assert_array_equal(
                out.issued.displacement_mm[own], said[choice.model].displacement_mm[own]
            )
            assert set(out.speaker[rows, site]) == {choice.model}


def test_the_choice_of_a_year_knows_nothing_of_it(
    history: PoolHistory, told: dict[str, Issued]
) -> None:
    scores = inner_year(history, told, folds()[1].origin)
    later = {
        name: one._replace(
            displacement_mm=np.where(
                (one.fold >= 1)[:, None, None], np.float32(99), one.displacement_mm
            )
        )
        for name, one in told.items()
    }
    other = inner_year(history, later, folds()[1].origin)
    np.testing.assert_array_equal(scores.mean_mm, other.mean_mm)
    assert np.isfinite(scores.mean_mm).any()
    assert scores.epoch_day.max() <= folds()[1].origin


def test_intervals_cover_nine_of_ten_epochs_and_say_where(
    history: PoolHistory, told: dict[str, Issued], said: dict[str, Issued], ruler: Ruler
) -> None:
    prior = prior_from(history, told, folds()[0].origin).bands
    assert set(prior.models) == {"", *told}
    begun = starts(history, told, folds()[0].origin, prior, ["kalman"] * history.sites)
    bands = coverage.carry(history, said["kalman"], begun, speakers(said["kalman"], history))
    later = detail.later_epochs(history, ruler.day)
    pairs = coverage.covered(said["kalman"], bands, later)
    assert 0.8 < np.nanmean(pairs.held) < 0.97
    table = coverage.table(ruler, said["kalman"], bands, later, "coverage")
    assert table.rows[0][0] == "all"
    assert any("epochs times sites" in note for note in table.notes)


def test_a_band_does_not_know_the_epochs_it_is_judged_by(
    history: PoolHistory, said: dict[str, Issued]
) -> None:
    start = [conformal.begin()] * history.sites
    one = said["kalman"]
    names = speakers(one, history)
    whole = coverage.carry(history, one, start, names)
    cut = one._replace(
        **{name: getattr(one, name)[:9] for name in ("day", "fold", "displacement_mm", "sd_mm")}
    )
    np.testing.assert_array_equal(
        coverage.carry(history, cut, start, names).observed_mm, whole.observed_mm[:9]
    )
    epochs_later = PoolHistory(slopes(4, "white-3"))
    after = epochs_later._arrival_day > int(one.day[8])
    epochs_later._los_mm[np.repeat(after, 6, axis=1)] += 500.0
    other = coverage.carry(epochs_later, one, start, names)
    np.testing.assert_array_equal(other.observed_mm[:9], whole.observed_mm[:9])
    assert not np.array_equal(other.observed_mm[9:], whole.observed_mm[9:])


def test_the_oracle_is_certain_of_today_and_ever_less_of_what_comes() -> None:
    pool = forecast_pool("development", "white-3", 2)
    day = np.array([1500, 1620])
    found = oracle_widths(PoolHistory(pool), day, Sample(2, 60))
    assert found.width_mm.shape == (2, 7, 6)
    assert (found.width_mm[:, 0] == 0).all()
    assert (np.diff(found.width_mm.mean(axis=(0, 2))) >= 0).all()
    np.testing.assert_array_equal(found.row, [0, 1])
    moved = continuations(
        int(pool.truth.seeds[1]),
        str(pool.truth.hydrology_family[1]),
        str(pool.truth.drainage[1]),
        1620,
        60,
        pool.prospects.rain_mm(1620)[1],
    )
    spread = np.ptp(moved[:, 30], axis=0) * np.abs(pool.truth.los_factor[1])
    assert (found.width_mm[1, -1] <= spread).all()
