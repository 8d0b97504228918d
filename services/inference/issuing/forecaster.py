"""What a fit of the forecast models leaves: one artifact, and how it is read.

Names in the artifact are paths: `motion` (which units, reference and noise it holds for),
`hull/...` (the drivers of the record), `bands/...` (intervals to begin with), and for each track
`tracks/<track>/units`, `/choice`, `/reason`, and `/fit/<units or points>/<model>/<array>`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from core.artifacts import pack, unpack
from core.errors import BadInputError
from core.events import identity
from core.settings import Site
from services.inference.issuing.hull import Hull
from services.inference.model import Parameters
from services.inference.trust import conformal
from services.inference.trust.gate import Choice

Arrays = dict[str, npt.NDArray[Any]]
_MOTION = {"slope_units", "reference", "noise", "area"}


@dataclass(frozen=True)
class TrackFit:
    """Models fitted to one track: parameters by model, for its U units and for its P points.

    `choices` says which model may speak for each of `units`.
    """

    units: tuple[str, ...]
    choices: tuple[Choice, ...]
    of_units: Mapping[str, Parameters] = field(default_factory=dict)
    of_points: Mapping[str, Parameters] = field(default_factory=dict)


@dataclass(frozen=True)
class Forecaster:
    """All that one fit learned of a site."""

    motion: str
    tracks: Mapping[str, TrackFit]
    bands: conformal.State
    hull: Hull | None = None


def motion_of(site: Site) -> str:
    """Identity of the settings that a fit depends on: units, reference, noise and area."""
    tree = site.model_dump(mode="json", include=_MOTION)
    return identity("motion", *(f"{name}={tree[name]}" for name in sorted(_MOTION)))


def pack_forecaster(forecaster: Forecaster) -> bytes:
    """The artifact of a fit; the same fit gives the same bytes."""
    arrays: Arrays = {"motion": np.array(forecaster.motion)}
    arrays |= {f"bands/{n}": a for n, a in conformal.arrays(forecaster.bands).items()}
    if forecaster.hull is not None:
        arrays |= {f"hull/{n}": a for n, a in forecaster.hull._asdict().items()}
    for track, fit in forecaster.tracks.items():
        arrays[f"tracks/{track}/units"] = np.array(fit.units)
        arrays[f"tracks/{track}/choice"] = np.array([c.model for c in fit.choices])
        arrays[f"tracks/{track}/reason"] = np.array([c.reason for c in fit.choices])
        for series, fitted in (("units", fit.of_units), ("points", fit.of_points)):
            for model, parameters in fitted.items():
                for name, array in parameters.items():
                    arrays[f"tracks/{track}/fit/{series}/{model}/{name}"] = np.asarray(array)
                arrays[f"tracks/{track}/fit/{series}/{model}/"] = np.zeros(0)
    return pack(arrays)


def unpack_forecaster(content: bytes) -> Forecaster:
    """Inverse of `pack_forecaster`; `BadInputError` for anything else."""
    arrays = unpack(content)
    try:
        names = sorted({n.split("/")[1] for n in arrays if n.startswith("tracks/")})
        hull = _below(arrays, "hull/")
        return Forecaster(
            motion=str(arrays["motion"]),
            tracks={name: _track_fit(_below(arrays, f"tracks/{name}/")) for name in names},
            bands=conformal.from_arrays(_below(arrays, "bands/")),
            hull=Hull(**hull) if hull else None,
        )
    except (KeyError, TypeError, ValueError) as error:
        raise BadInputError(f"artifact holds no forecast models of this version: {error!r}") from (
            error
        )


def _track_fit(arrays: Arrays) -> TrackFit:
    chosen = zip(arrays["choice"], arrays["reason"], strict=True)
    return TrackFit(
        units=tuple(str(u) for u in arrays["units"]),
        choices=tuple(Choice(str(model), str(reason)) for model, reason in chosen),
        of_units=_by_model(_below(arrays, "fit/units/")),
        of_points=_by_model(_below(arrays, "fit/points/")),
    )


def _by_model(arrays: Arrays) -> dict[str, Parameters]:
    models = sorted({name.partition("/")[0] for name in arrays})
    fitted = {model: _below(arrays, f"{model}/") for model in models}
    return {m: {n: a for n, a in parameters.items() if n} for m, parameters in fitted.items()}


def _below(arrays: Arrays, prefix: str) -> Arrays:
    return {n.removeprefix(prefix): a for n, a in arrays.items() if n.startswith(prefix)}
