from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest

from services.inference.musenet.correcting import REPEAT_D
from services.inference.musenet.examples import Examples
from services.inference.musenet.inputs import EXPECTED, KNOTS_D, gather

torch = pytest.importorskip("torch", reason="the extra slopewatch[torch] is not installed")

from services.inference.musenet.loss import rain_penalty  # noqa: E402
from services.inference.musenet.serving import as_batch  # noqa: E402
from services.inference.musenet.storms import TODAY, expected_gain, with_storm  # noqa: E402

DAY = 600
STORM_MM = 80.0


@pytest.mark.parametrize("ahead", [-20, 0, 7])
def test_a_storm_changes_what_more_rain_would_have_changed(record: Any, ahead: int) -> None:
    """The counterfactual is the input that would have been made with more rain in the record."""
    wetter = copy.copy(record)
    wetter.rain = record.rain.copy()
    wetter.rain[DAY + ahead] += STORM_MM
    known, other = record.known(DAY), wetter.known(DAY)
    base, expected = record.expectation(known), record.expectation(other)
    inputs = gather(known, base)
    # What a storm before the issue moved is for the filter to say; only the days ahead count.
    wet = gather(other, expected._replace(typical_mm_d=base.typical_mm_d))
    batch = as_batch(inputs)
    response = torch.from_numpy(inputs.response_mm.astype(np.float32))
    scale = torch.from_numpy(inputs.scale_mm_d.astype(np.float32))
    gain = expected_gain(response, TODAY + ahead, STORM_MM)
    real = np.diff(expected.path.displacement_mm - base.path.displacement_mm, axis=0)
    np.testing.assert_allclose(np.diff(gain.numpy(), axis=1), real.T, atol=1e-3)
    stormy = with_storm(batch, gain, scale, TODAY + ahead, STORM_MM)
    np.testing.assert_allclose(stormy.rain.numpy(), wet.rain, atol=1e-4)
    first = slice(0, 7 + 4)
    free = np.abs(wet.statics[:, first]) < 8.0
    np.testing.assert_allclose(
        stormy.statics.numpy()[:, first][free], wet.statics[:, first][free], atol=2e-3
    )
    assert len(KNOTS_D) == EXPECTED.stop


def test_the_penalty_is_for_motion_taken_away_alone() -> None:
    less, more = torch.tensor([[0.0, 1.0]]), torch.tensor([[0.0, 1.5]])
    assert rain_penalty(more, less) == 0
    assert rain_penalty(less, more) == pytest.approx(0.25)


def test_units_of_examples_are_those_of_the_counterfactual(examples: Examples) -> None:
    """Knot columns are the expected path divided by the typical motion over the same days."""
    path = examples.base_mm - examples.base_mm[:, :1]
    for column, day in enumerate(KNOTS_D):
        told = path[:, day] / (examples.scale_mm_d * day)
        near = np.abs(told) < 7.9
        np.testing.assert_allclose(examples.statics[near, column], told[near], atol=1e-3)
    assert REPEAT_D == 12
