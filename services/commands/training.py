"""`slopewatch train --pool`: train the network on the simulated training pool, and say how it did.

Gradient comes from the training pool under every noise mode; the pass is chosen on the development
pool and on the last fifth of the training record; the card's scores are on the development pool.
The test pool is never made here. Everything is simulated, and the card says so.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt
from pydantic import Field

from core.errors import SettingsError
from core.evidence import Floats
from core.settings import Tree

if TYPE_CHECKING:
    from services.inference.musenet.examples import Examples
    from services.inference.musenet.network import MUSEnetC, Shape
    from services.scoring.forecasts.series import PoolHistory

    Ints = npt.NDArray[np.int64]
    Flags = npt.NDArray[np.bool_]

Echo = Callable[[str], None]
NOISES = ("radar", "white-3", "white-5")
ISSUES_EVERY_D = 12
FIRST_FIT_FOLD = -1
"""The first fit of the training record is a year before the first fold that is scored."""
CHOSEN_EVERY = 8
"""One issue day in so many is looked at after each pass, of the development pool and of the last
fifth of the training record."""
BASE_ROUNDS = 1
"""The pools' slopes are quiet and lose no cycles, so one round of the base's fit is enough."""
FIRST_SCORED_FOLD = 0
SCORED_EVERY_D = 12
SCORED_D = (0, 1, 3, 6, 12, 24, 30)
LIMITS = (
    "Trained and scored on simulated slopes only, of one hydrology family.",
    "Trained on slopes that do not fail: it is no detector of failure.",
    "Needs rain and reservoir level with thirty days issued ahead, and a fit of "
    "Kalman + transfer function.",
)


class PoolTraining(Tree):
    """What one command makes."""

    name: str = Field("default", pattern=r"^[a-z0-9-]+$", description="name of the model card")
    sites: int | None = Field(None, gt=0, description="first sites of each pool; none: all")
    noises: tuple[str, ...] = Field(NOISES, min_length=1)
    seeds: tuple[int, ...] = Field((0, 1, 2), min_length=1, description="one network each")
    tiny: bool = Field(False, description="a network under 50,000 parameters, for tests")


class Prepared(NamedTuple):
    """Pools as examples."""

    early: Examples
    choosing: Examples
    sites: int


def train_network(into: Path, seeds: int, device: str, echo: Echo) -> None:
    """Train the default ensemble on the whole training pool and write it to the folder `into`."""
    asked = PoolTraining(seeds=tuple(range(seeds)))
    command = f"slopewatch train --pool FOLDER --seeds {seeds}"
    path = train_pool(asked, {"device": device}, into, command, echo)
    echo(f"{path}: name its folder in the settings of the model musenet to use it")


def train_pool(
    asked: PoolTraining,
    how: Mapping[str, Any],
    into: Path,
    command: str,
    echo: Echo,
) -> Path:
    """Train an ensemble and write its weights and model card; returns the card.

    `how` are fields of `Training` that differ from its defaults. Unfinished trainings are resumed
    from `into`. Raises SettingsError without torch.
    """
    try:
        from services.inference.musenet import checkpoint
        from services.inference.musenet.examples import fingerprint
        from services.inference.musenet.inputs import INPUTS_VERSION
        from services.inference.musenet.training import Training, train
    except ImportError as error:
        raise SettingsError(
            f"training needs torch and safetensors: pip install 'slopewatch[torch]' ({error})"
        ) from error
    training = Training.model_validate(how)
    echo(f"simulated pools: {', '.join(asked.noises)}; fits of Kalman + transfer function")
    prepared = prepare(asked)
    data = fingerprint(prepared.early)
    shape = _shape(prepared, asked.tiny)
    networks, files = [], []
    for seed in asked.seeds:
        unfinished = into / f"{asked.name}-{seed}.progress.safetensors"
        trained = train(
            shape,
            training,
            prepared.early,
            prepared.choosing,
            seed=seed,
            progress=unfinished,
            data=data,
            quiet=False,
        )
        file = f"{asked.name}-{seed}.safetensors"
        checkpoint.write_weights(into / file, trained.network)
        networks.append(trained.network.cpu())
        files.append(file)
        best = min(score.choosing for score in trained.scores)
        echo(f"{file}: {len(trained.scores)} passes, best loss {best:.4f}")
    scores = development_scores(networks, asked, echo)
    card = {
        "name": asked.name,
        "data_sha256": data,
        "pool": "forecast-1: training for the gradient, development for choices (both simulated)",
        "seeds": list(asked.seeds),
        "code_version": metadata.version("slopewatch"),
        "inputs_version": INPUTS_VERSION,
        "settings": {"training": training.model_dump(), "pool": asked.model_dump(mode="json")},
        "scores": scores,
        "limits": list(LIMITS),
        "command": command,
        "files": files,
    }
    path = into / f"{asked.name}.json"
    checkpoint.write_card(path, card)
    for seed in asked.seeds:
        (into / f"{asked.name}-{seed}.progress.safetensors").unlink(missing_ok=True)
    return path


def prepare(asked: PoolTraining) -> Prepared:
    """Both pools as examples, fits and all."""
    from services.inference.musenet.examples import chosen_rows, joined

    early, choosing, sites = [], [], 0
    for number, noise in enumerate(asked.noises):
        offset = number * ISSUES_EVERY_D // len(asked.noises)
        examples, sites = _examples("training", noise, asked.sites, offset)
        last = _inner_block(examples.day)
        early.append(chosen_rows(examples, examples.day < last.start))
        inner = chosen_rows(examples, examples.day >= last.stop)
        choosing.append(chosen_rows(inner, _every(inner.day, CHOSEN_EVERY)))
        other, _ = _examples(
            "development", noise, asked.sites, offset, ISSUES_EVERY_D * CHOSEN_EVERY
        )
        choosing.append(other)
    return Prepared(joined(early), joined(choosing), sites)


def _inner_block(day: Ints) -> slice:
    """The last fifth of the issue days starts at `stop`; `start` leaves the longest horizon out."""
    from services.inference.known import FURTHEST_D

    first, last = int(day.min()), int(day.max())
    stop = last - (last - first) // 5
    return slice(stop - FURTHEST_D, stop)


def _every(day: Ints, share: int) -> Flags:
    """Issues on one day in `share` of all issue days."""
    return np.asarray(np.unique(day, return_inverse=True)[1] % share == 0)


def _examples(
    role: str, noise: str, sites: int | None, offset_d: int, every_d: int = ISSUES_EVERY_D
) -> tuple[Examples, int]:
    """Examples of one pool under one noise, and its number of sites."""
    from services.inference.models import kalman_transfer
    from services.inference.musenet.examples import Rolling, joined, rolling_examples
    from services.scoring.forecasts.folds import folds

    history = _history(role, noise, sites)
    origins = tuple(fold.origin for fold in folds(FIRST_FIT_FOLD))
    base = kalman_transfer.open(kalman_transfer.Settings(rounds=BASE_ROUNDS))
    rolling = Rolling(origins, every_d=every_d, offset_d=offset_d)
    last_day = history.days - 31
    return joined(list(rolling_examples(history, base, rolling, last_day))), history.sites


def _history(role: str, noise: str, sites: int | None) -> PoolHistory:
    from core.twin.pools import forecast_pool
    from services.scoring.forecasts.series import PoolHistory

    return PoolHistory(forecast_pool(role, noise, sites))


def _shape(prepared: Prepared, tiny: bool) -> Shape:
    from services.inference.musenet.training import shape_of, tiny_shape

    return tiny_shape(prepared.early) if tiny else shape_of(prepared.early, prepared.sites)


def development_scores(
    networks: Sequence[MUSEnetC], asked: PoolTraining, echo: Echo
) -> dict[str, Any]:
    """Error against the latent truth of the development pool, by noise and days ahead, mm.

    The development pool also chose the pass, so these flatter; the test pool is scored by
    `benchmarks/forecast_skill`.
    """
    from services.inference.models import kalman_transfer
    from services.inference.musenet.expectation import expect
    from services.inference.musenet.inputs import gather
    from services.inference.musenet.serving import corrected
    from services.scoring.forecasts.folds import folds

    base = kalman_transfer.open(kalman_transfer.Settings())
    scores: dict[str, Any] = {"days_ahead": list(SCORED_D)}
    for noise in asked.noises:
        history = _history("development", noise, asked.sites)
        squares: dict[str, list[Floats]] = {"musenet": [], "kalman_transfer": []}
        for fold in folds(FIRST_SCORED_FOLD):
            parameters = base.fit(history, fold.origin)
            for day in fold.issue_days(SCORED_EVERY_D):
                known = history.known(int(day))
                inputs = gather(known, expect(base, parameters, known))
                target = history.target_on(int(day))
                path = corrected(networks, inputs).displacement_mm
                squares["musenet"].append((path - target) ** 2)
                squares["kalman_transfer"].append((inputs.base_mm - target) ** 2)
        means = {name: np.nanmean(np.stack(parts), axis=(0, 2)) for name, parts in squares.items()}
        rmse = {name: np.sqrt(mean)[list(SCORED_D)].round(3) for name, mean in means.items()}
        scores[noise] = {f"rmse_mm_{name}": values.tolist() for name, values in rmse.items()}
        ratio = rmse["musenet"][4] / rmse["kalman_transfer"][4]
        echo(f"{noise}: +12 d {rmse['musenet'][4]:.2f} mm, {ratio:.3f} of Kalman + transfer")
    return scores
