from __future__ import annotations

import numpy as np
import pytest

from services.scoring.replica.stack import Stack
from services.scoring.replica.windows import INNER_TEST, INNER_TRAIN, TEST, Scaled, scaled, windows

torch = pytest.importorskip("torch", reason="the extra slopewatch[torch] is not installed")

from services.scoring.replica import network as published  # noqa: E402

LSTM = 4 * 64 * (4 + 64) + 2 * 4 * 64
HEAD = ((64, 128), (128, 256), (256, 512), (512, 256), (256, 128), (128, 64), (64, 32), (32, 16))
ONE = published.Training(training_epochs=1, batch=64)


def _random(points: int = 3, days: int = 2) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    return {
        "deformation": torch.randn(days, points, 30, 4, generator=generator),
        "rain": torch.randn(days, 30, 4, generator=generator),
        "level": torch.randn(days, 30, 4, generator=generator),
    }


@pytest.mark.parametrize("blocks", [published.BLOCKS, ("deformation",)])
def test_the_network_has_the_stated_layers(blocks: tuple[str, ...]) -> None:
    network = published.MUSEnetPaper(blocks)
    widths = [(len(blocks) * 30 * 64, 64), *HEAD, (16, 1)]
    count = len(blocks) * LSTM + sum(a * b + b for a, b in widths)
    assert sum(p.numel() for p in network.parameters()) == count
    linear = [layer for layer in network.head if isinstance(layer, torch.nn.Linear)]
    assert [(layer.in_features, layer.out_features) for layer in linear] == widths
    assert len(linear) == 10
    assert len(network.head) == 19
    assert isinstance(network.head[-1], torch.nn.Linear)


def test_the_whole_network_has_about_three_quarters_of_a_million_parameters() -> None:
    assert sum(p.numel() for p in published.MUSEnetPaper().parameters()) == 770_497


def test_the_newest_lag_is_read_first() -> None:
    network, blocks = published.MUSEnetPaper(), _random()
    rows = blocks["level"].clone()
    rows[:, 10] += 1.0
    states, other = (network.encoders["level"](r)[0] for r in (blocks["level"], rows))
    moved = (states != other).any(dim=2)
    assert not moved[:, :10].any()
    assert moved[:, 10:].all()


def test_every_lag_of_every_block_counts() -> None:
    network, blocks = published.MUSEnetPaper(), _random()
    for rows in blocks.values():
        rows.requires_grad_()
    network(blocks).sum().backward()
    for rows in blocks.values():
        assert rows.grad is not None
        assert (rows.grad.reshape(-1, 30, 4).abs().sum(dim=(0, 2)) > 0).all()


def test_points_that_share_their_site_are_as_if_alone() -> None:
    network, blocks = published.MUSEnetPaper(), _random()
    together = network(blocks)
    for point in range(3):
        own = {**blocks, "deformation": blocks["deformation"][:, point : point + 1]}
        assert torch.allclose(network(own)[:, 0], together[:, point], atol=1e-6)


@pytest.fixture(scope="module")
def data(stack: Stack) -> Scaled:
    """One point of one site."""
    both = scaled(windows(stack, "R1"), relative=True)
    one = [block[:, :1] for block in (both.deformation, both.rain, both.level, both.target)]
    return Scaled(*one, both.base_mm[:, :1], both.centre_mm, both.spread_mm)


def test_training_is_repeatable_and_leaves_the_global_generator_alone(data: Scaled) -> None:
    before = torch.random.get_rng_state()
    one, other = (published.train(data, ONE, ("deformation",)) for _ in range(2))
    assert torch.equal(torch.random.get_rng_state(), before)
    np.testing.assert_array_equal(
        published.forecast(one, data, TEST), published.forecast(other, data, TEST)
    )


def test_training_learns_something_and_nothing_from_the_test_part(data: Scaled) -> None:
    target = data.target.copy()
    target[TEST] = 99.0
    how = published.Training(training_epochs=3, batch=32)
    one, other = (
        published.train(d, how, ("deformation",)) for d in (data, data._replace(target=target))
    )
    for a, b in zip(one.network.parameters(), other.network.parameters(), strict=True):
        assert torch.equal(a, b)
    made = (published.forecast(one, data, INNER_TEST) - data.base_mm[INNER_TEST]) / data.spread_mm
    miss = made - data.centre_mm / data.spread_mm - data.target[INNER_TEST]
    assert (miss**2).mean() < 0.9 * data.target[INNER_TEST].var()
    assert INNER_TRAIN.stop == INNER_TEST.start


def test_training_stops_when_the_inner_block_gets_no_better(data: Scaled) -> None:
    random = np.random.default_rng(0).normal(size=data.target.shape)
    small = data._replace(target=random)
    how = published.Training(training_epochs=9, patience=1, batch=128)
    trained = published.train(small, how, ("deformation",))
    assert trained.training_epochs < 9
    assert trained.best_epoch == trained.training_epochs - 1
