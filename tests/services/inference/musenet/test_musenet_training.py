from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from core.errors import BadInputError
from services.inference.musenet.examples import Examples, chosen_rows

torch = pytest.importorskip("torch", reason="the extra slopewatch[torch] is not installed")

from services.inference.musenet.training import Trained, Training, tiny_shape, train  # noqa: E402

TINY = Training(
    training_epochs=6, issues=16, share=1.0, learning_rate=5e-3, patience=6, average=0.9
)


def halves(examples: Examples) -> tuple[Examples, Examples]:
    later = examples.day > 700
    return chosen_rows(examples, ~later), chosen_rows(examples, later)


def run(examples: Examples, **how: object) -> Trained:
    early, late = halves(examples)
    return train(tiny_shape(early), TINY, early, late, seed=4, **how)  # type: ignore[arg-type]


def same(one: Trained, other: Trained) -> bool:
    pairs = zip(one.network.parameters(), other.network.parameters(), strict=True)
    return all(torch.equal(a, b) for a, b in pairs) and one.scores == other.scores


@pytest.fixture(scope="module")
def whole(examples: Examples) -> Trained:
    return run(examples)


def test_training_lowers_the_loss_on_days_it_did_not_see(whole: Trained) -> None:
    assert whole.scores[-1].choosing < whole.scores[0].choosing - 0.05


def test_the_tiny_network_is_tiny(whole: Trained) -> None:
    assert sum(p.numel() for p in whole.network.parameters()) <= 50_000


def test_the_same_seed_gives_the_same_weights(examples: Examples, whole: Trained) -> None:
    assert same(run(examples), whole)


def test_killed_and_resumed_equals_uninterrupted(
    examples: Examples, whole: Trained, tmp_path: Path
) -> None:
    progress = tmp_path / "progress.safetensors"
    stopped = run(examples, progress=progress, stop_after=3)
    assert len(stopped.scores) == 3
    assert same(run(examples, progress=progress), whole)


def test_progress_of_another_seed_is_refused(examples: Examples, tmp_path: Path) -> None:
    progress = tmp_path / "progress.safetensors"
    run(examples, progress=progress, stop_after=1)
    early, late = halves(examples)
    with pytest.raises(BadInputError, match="other settings, seed or data"):
        train(tiny_shape(early), TINY, early, late, seed=5, progress=progress)


def test_training_stops_when_nothing_gets_better(examples: Examples) -> None:
    early, late = halves(examples)
    hasty = TINY.model_copy(update={"patience": 1, "training_epochs": 40, "learning_rate": 0.03})
    scores = train(tiny_shape(early), hasty, early, late, seed=1).scores
    values = [score.choosing for score in scores]
    assert len(values) < 40
    assert np.argmin(values) == len(values) - 2
