from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from services.inference.musenet.examples import Examples
from services.inference.musenet.inputs import gather

torch = pytest.importorskip("torch", reason="the extra slopewatch[torch] is not installed")

from services.inference.musenet.correcting import at_offsets, corrections_mm  # noqa: E402
from services.inference.musenet.loss import student_nll  # noqa: E402
from services.inference.musenet.network import (  # noqa: E402
    OUTPUTS,
    UNSEEN,
    MUSEnetC,
    Shape,
)
from services.inference.musenet.serving import as_batch, corrected  # noqa: E402
from services.inference.musenet.training import tiny_shape  # noqa: E402

DAY = 600


@pytest.fixture(scope="module")
def inputs(record: Any) -> Any:
    known = record.known(DAY)
    return gather(known, record.expectation(known))


@pytest.fixture(scope="module")
def shape(examples: Examples) -> Shape:
    return tiny_shape(examples)


def stirred(shape: Shape) -> MUSEnetC:
    """A network whose last layer says something."""
    torch.manual_seed(1)
    network = MUSEnetC(shape)
    torch.nn.init.normal_(network.last.weight, std=0.1)
    return network.eval()


def test_an_untrained_network_is_the_baseline_bit_for_bit(inputs: Any, shape: Shape) -> None:
    networks = [MUSEnetC(shape), MUSEnetC(shape)]
    path = corrected(networks, inputs)
    assert np.array_equal(path.displacement_mm, inputs.base_mm)
    assert np.array_equal(path.sd_mm, inputs.base_sd_mm)


def test_corrections_are_the_running_sum_of_daily_rates() -> None:
    rates = np.full((1, 30), 0.5)
    path = corrections_mm(
        np.array([2.0]), np.array([1.0]), rates, np.array([-0.1]), np.array([4.0])
    )
    assert path.shape == (1, 31)
    np.testing.assert_allclose(path[0, 0], -0.1 * (12 * 2.0 + 4.0))
    np.testing.assert_allclose(np.diff(path[0]), -0.05)


def test_numpy_and_torch_give_the_same_corrections() -> None:
    random = np.random.default_rng(0)
    parts = [random.normal(size=s) for s in (5, 5, (5, 30), 5, 5)]
    ours = corrections_mm(*parts)
    theirs = corrections_mm(*(torch.from_numpy(p) for p in parts)).numpy()
    np.testing.assert_allclose(theirs, ours, rtol=0, atol=1e-10)


def test_a_path_is_read_on_whole_days_and_straight_before_the_issue() -> None:
    path = np.arange(31.0)[None] * 2 + 10
    read = at_offsets(path, np.array([[-6, -3, 0, 5, 30]]), np.array([4.0]), np.array([6.0]))
    np.testing.assert_allclose(read, [[4.0, 7.0, 10.0, 20.0, 70.0]])


def test_student_likelihood_is_that_of_scipy() -> None:
    from scipy.stats import t

    error, variance = torch.tensor([0.3, -4.0]), torch.tensor([2.0, 5.0])
    scale = np.sqrt(variance.numpy() / 2)
    ours = student_nll(error, variance).numpy()
    theirs = -t(4, scale=scale).logpdf(error.numpy())
    np.testing.assert_allclose(np.diff(ours), np.diff(theirs), rtol=1e-5)


@pytest.mark.parametrize("encoder", ["lstm", "gru", "convolution"])
def test_drivers_are_read_once_a_place(inputs: Any, shape: Shape, encoder: str) -> None:
    """Reading them once for all series is the same as once for each."""
    network = stirred(shape.model_copy(update={"encoder": encoder}))
    shared = as_batch(inputs)
    series = torch.arange(len(shared.row))
    apart = shared._replace(
        rain=shared.rain[shared.row], level=shared.level[shared.row], row=series
    )
    for one, other in zip(network(shared), network(apart), strict=True):
        torch.testing.assert_close(one, other, atol=1e-5, rtol=1e-5)
    assert sum(part.reshape(len(series), -1).shape[1] for part in network(shared)) == OUTPUTS


def test_unseen_sites_take_the_mean_embedding(inputs: Any, shape: Shape) -> None:
    network = stirred(shape)
    unseen = network(as_batch(inputs)).rates
    with torch.no_grad():
        network.embedding.weight[:] = network.embedding.weight.mean(dim=0)
    seen = as_batch(inputs)._replace(site=torch.zeros(len(inputs.row), dtype=torch.int64))
    torch.testing.assert_close(network(seen).rates, unseen, atol=1e-6, rtol=1e-5)
    assert (as_batch(inputs).site == UNSEEN).all()


def test_no_output_is_squashed(inputs: Any, shape: Shape) -> None:
    """g is linear: uphill corrections are as possible as downhill ones."""
    network = stirred(shape)
    once = network(as_batch(inputs)).rates
    with torch.no_grad():
        network.last.weight.mul_(-3.0)
        network.last.bias.mul_(-3.0)
    torch.testing.assert_close(network(as_batch(inputs)).rates, -3.0 * once)


def test_members_that_differ_widen_the_deviation(inputs: Any, shape: Shape) -> None:
    network = stirred(shape)
    with torch.no_grad():
        network.last.weight[-2:] = 0.0
    alone = corrected([network], inputs)
    both = corrected([network, MUSEnetC(shape)], inputs)
    np.testing.assert_allclose(
        both.displacement_mm, (alone.displacement_mm + inputs.base_mm) / 2, atol=1e-9
    )
    assert (both.sd_mm >= inputs.base_sd_mm).all()
    assert (both.sd_mm[12] > inputs.base_sd_mm[12]).any()
