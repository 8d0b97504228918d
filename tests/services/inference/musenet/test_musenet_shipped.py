from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from core.twin.pools import forecast_pool
from services.inference.model import HORIZONS_D
from services.inference.models import kalman_transfer, musenet
from services.inference.musenet.expectation import expect
from services.inference.musenet.inputs import gather
from services.scoring.forecasts.series import PoolHistory

torch = pytest.importorskip("torch", reason="the extra slopewatch[torch] is not installed")

from services.inference.musenet.checkpoint import WEIGHTS, read_card, read_ensemble  # noqa: E402
from services.inference.musenet.correcting import corrections_mm  # noqa: E402
from services.inference.musenet.network import MUSEnetC  # noqa: E402
from services.inference.musenet.serving import as_batch  # noqa: E402
from services.inference.musenet.storms import TODAY, expected_gain, with_storm  # noqa: E402

MOST_BYTES = 5_000_000
FIT_DAY = 1399
DAYS = (1450, 1550, 1610, 1690)


@pytest.fixture(scope="module")
def asked() -> tuple[Any, Any, Any]:
    """A base, its parameters and the history of three simulated development slopes."""
    history = PoolHistory(forecast_pool("development", "white-3", 3))
    base = kalman_transfer.open(kalman_transfer.Settings(rounds=1))
    return base, base.fit(history, FIT_DAY), history


def test_the_shipped_weights_are_small_and_have_a_card() -> None:
    card = read_card(WEIGHTS / "default.json")
    files = [WEIGHTS / name for name in card["files"]]
    assert sum(path.stat().st_size for path in files) <= MOST_BYTES
    assert {path.name for path in WEIGHTS.iterdir()} == {*card["files"], "default.json"}
    assert card["scores"]["days_ahead"] == list(HORIZONS_D)
    assert "train --pool" in card["command"]


def test_an_untrained_ensemble_is_kalman_and_transfer_function_bit_for_bit(asked: Any) -> None:
    base, parameters, history = asked
    shape = read_ensemble(WEIGHTS, "default")[0].shape
    model = musenet.MUSEnet([MUSEnetC(shape), MUSEnetC(shape)])
    for day in DAYS:
        known = history.known(day)
        ours, theirs = model.forecast(parameters, known), base.forecast(parameters, known)
        assert np.array_equal(ours.displacement_mm, theirs.displacement_mm)
        assert np.array_equal(ours.sd_mm, theirs.sd_mm)


def test_the_shipped_ensemble_says_something_else(asked: Any) -> None:
    base, parameters, history = asked
    model = musenet.open(musenet.Settings())
    known = history.known(DAYS[2])
    ours, theirs = model.forecast(parameters, known), base.forecast(parameters, known)
    assert np.isfinite(ours.displacement_mm).all()
    assert (ours.sd_mm > 0).all()
    assert np.abs(ours.displacement_mm - theirs.displacement_mm).max() > 0.1


@pytest.mark.parametrize("ahead", [-10, 0, 5])
def test_more_rain_is_not_less_motion_downslope(asked: Any, ahead: int) -> None:
    """On slopes it never saw, a storm of 100 mm moves them on; what it takes away is little."""
    base, parameters, history = asked
    networks = read_ensemble(WEIGHTS, "default")
    gains = []
    for day in DAYS:
        inputs = gather(history.known(day), expect(base, parameters, history.known(day)))
        response = torch.from_numpy(inputs.response_mm.astype(np.float32))
        scale = torch.from_numpy(inputs.scale_mm_d.astype(np.float32))
        gain = expected_gain(response, TODAY + ahead, 100.0)
        batch = as_batch(inputs)
        stormy = with_storm(batch, gain, scale, TODAY + ahead, 100.0)
        more = gain.numpy() + mean_correction(networks, stormy, inputs)
        less = mean_correction(networks, batch, inputs)
        moved = more - less
        gains.append((moved - moved[:, :1]) / inputs.scale_mm_d[:, None] / 12.0)
    path = np.concatenate(gains)
    assert path[:, -1].mean() > 0.1
    assert np.maximum(-path, 0).mean() < 0.1 * np.maximum(path, 0).mean()


def mean_correction(networks: list[Any], batch: Any, inputs: Any) -> Any:
    """Mean over the ensemble, (S, 31) mm."""
    paths = []
    with torch.inference_mode():
        for network in networks:
            last, since, rates, _ = (part.double().numpy() for part in network(batch))
            paths.append(corrections_mm(last, since, rates, inputs.scale_mm_d, inputs.age_d))
    return np.mean(paths, axis=0)
