from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from core.errors import BadInputError
from services.commands import training as command
from services.inference.models import musenet

pytest.importorskip("torch", reason="the extra slopewatch[torch] is not installed")

from services.inference.musenet.checkpoint import read_card

SMALL = command.PoolTraining(name="small", sites=2, noises=("white-3",), seeds=(0, 1), tiny=True)
QUICK = {"training_epochs": 2, "issues": 16, "share": 1.0}
COMMAND = "slopewatch train --pool small"


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An ensemble of two tiny networks, trained and scored on the last fold alone."""
    folder = tmp_path_factory.mktemp("weights")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(command, "FIRST_FIT_FOLD", 2)
        patch.setattr(command, "FIRST_SCORED_FOLD", 2)
        patch.setattr(command, "SCORED_EVERY_D", 60)
        command.train_pool(SMALL, QUICK, folder, COMMAND, lambda _: None)
    return folder


def test_the_card_says_what_was_trained_on_what_and_how(trained: Path) -> None:
    card = read_card(trained / "small.json")
    assert card["command"] == COMMAND
    assert card["seeds"] == [0, 1]
    assert len(card["data_sha256"]) == 64
    assert "simulated" in card["pool"]
    scores = card["scores"]
    for model in ("musenet", "kalman_transfer"):
        errors = scores["white-3"][f"rmse_mm_{model}"]
        assert len(errors) == len(scores["days_ahead"])
        assert all(0 < error < 100 for error in errors)


def test_no_unfinished_training_is_left(trained: Path) -> None:
    names = sorted(path.name for path in trained.iterdir())
    assert names == ["small-0.safetensors", "small-1.safetensors", "small.json"]


def test_what_was_trained_can_be_opened_and_asked(trained: Path) -> None:
    model = musenet.open(musenet.Settings(weights=trained, ensemble="small"))
    history = command._history("development", "white-3", 2)
    parameters = model.fit(history, 900)
    path = model.forecast(parameters, history.known(950))
    assert path.displacement_mm.shape == path.sd_mm.shape == (31, 12)
    assert np.isfinite(path.displacement_mm).all()
    assert (path.sd_mm > 0).all()


def test_a_broken_member_is_refused(trained: Path, tmp_path: Path) -> None:
    for path in trained.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    member = tmp_path / "small-1.safetensors"
    member.write_bytes(member.read_bytes()[:-8])
    with pytest.raises(BadInputError, match="not a readable safetensors"):
        musenet.open(musenet.Settings(weights=tmp_path, ensemble="small"))
