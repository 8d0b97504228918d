"""MUSEnetC's whole forecast as a differentiable function of the drivers that it was told.

The network corrects what Kalman + transfer function expects, so what a driver does to the forecast
goes two ways: through the expectation, which is linear in the filtered drivers, and through the
correction, whose inputs hold the drivers themselves, the filtered ones and the expected path. Both
are followed here, so shares are of the forecast that is issued and not of the correction alone.

Drivers are the 120 days up to the issue day and the 30 after it. What had been seen of the slope
(epochs, the filtered residual, its typical rate) and what was fitted stay as they were. Torch is
loaded when a forecast is made, not before.
"""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from scipy.linalg import toeplitz

from core.evidence import Floats
from services.inference.known import FURTHEST_D, Ints, Known
from services.inference.musenet import inputs as told
from services.inference.musenet.correcting import REPEAT_D
from services.inference.musenet.expectation import Expectation
from services.inference.numerics import hydrology
from services.understanding.basis import observed_drivers, of_year

if TYPE_CHECKING:
    from services.inference.musenet.network import MUSEnetC

WINDOW_D = told.BACK_D + FURTHEST_D
_NOW = told.BACK_D - 1
_LEVEL_SCALE_M, _LARGEST_CHANGE_M_D = 15.0, 4.0
"""As `services.inference.musenet.inputs` scales and cuts the level; a test holds them equal."""


class Windows(NamedTuple):
    """Daily rain in mm and level in m, (N, 150) each, from 119 days before the issue day on."""

    rain_mm: Floats
    level_m: Floats


class Asked(NamedTuple):
    """Forecasts of N series on one issue day."""

    series: Ints
    """(N,) those of the `Known` that the base speaks of."""
    drivers: Windows
    """As they were told, gaps filled as models fill them."""
    usual: Windows
    """Means of each day of the year over what had been observed."""
    before_m: Floats
    """(N,) level on the day before the window."""
    epochs: Floats
    """(N, 30, 14) as the network is told them, and so are the next three."""
    statics: Floats
    rain_steps: Floats
    level_steps: Floats
    scale_mm_d: Floats
    """(N,) typical LOS rate, signed."""
    ahead_mm: Floats
    """(N, 30) expected displacement from the issue day to each day ahead."""
    wet: Floats
    """(N, 31, 9) filtered drivers on day .. day + 30."""
    coefficients: Floats
    """(N, 9) LOS rate, mm/d, for a unit of each of them."""


def asked(known: Known, base: Expectation) -> Asked:
    """What the network is asked on one issue day, for the series that `base` speaks of.

    Raises:
        BadInputError: a driver was never observed, or for less than two years.
    """
    inputs = told.gather(known, base)
    use = np.flatnonzero(np.isfinite(base.path.displacement_mm).all(axis=0))
    place = known.place[use]
    now = known.day - known.drivers.first_day
    window = slice(now - _NOW, now + FURTHEST_D + 1)
    level = hydrology.fill_level(known.drivers)
    drivers = Windows(hydrology.fill_rain(known.drivers)[window].T[place], level[window].T[place])
    return Asked(
        use,
        drivers,
        _usual(known, place),
        level[window.start - 1, place],
        inputs.epochs[use],
        inputs.statics[use],
        inputs.rain[place],
        inputs.level[place],
        inputs.scale_mm_d[use],
        (inputs.base_mm[1:] - inputs.base_mm[0]).T[use],
        base.features[now : now + FURTHEST_D + 1, :, told.DRIVEN].swapaxes(0, 1)[place],
        base.coefficients[told.DRIVEN, use].T,
    )


def _usual(known: Known, place: Ints) -> Windows:
    observed = observed_drivers(known)
    days = np.arange(known.day - _NOW, known.day + FURTHEST_D + 1)
    return Windows(
        *(
            of_year(values, observed.first_day, days).T[place]
            for values in (observed.rain_mm, observed.level_m)
        )
    )


class WholeForecast:
    """LOS displacement to come in the 30 days ahead, (N,) mm, from tensors of rain and level."""

    def __init__(self, networks: Sequence[MUSEnetC], question: Asked) -> None:
        import torch

        def tensor(values: Floats) -> Any:
            return torch.from_numpy(np.ascontiguousarray(values, dtype=np.float64))

        self._networks = [deepcopy(network).double().eval() for network in networks]
        for network in self._networks:
            network.requires_grad_(False)
            network.deformation = _said_once(network.deformation, tensor(question.epochs))
        self._told = [tensor(part) for part in question.drivers]
        self._before = tensor(question.before_m)
        self._epochs, self._statics = tensor(question.epochs), tensor(question.statics)
        self._rain, self._level = tensor(question.rain_steps), tensor(question.level_steps)
        self._scale, self._ahead = tensor(question.scale_mm_d), tensor(question.ahead_mm)
        self._wet, self._coefficients = tensor(question.wet), tensor(question.coefficients)
        self._filters = [tensor(part) for part in _filters()]

    def __call__(self, rain_mm: Any, level_m: Any) -> Any:
        """Forecast changes (N,) in mm for rain and level (N, 150)."""
        import torch

        from services.inference.musenet.network import UNSEEN, Batch

        wet, ahead = self._expected(rain_mm, level_m)
        count = len(rain_mm)
        batch = Batch(
            epochs=self._epochs,
            statics=self._shown(wet, ahead),
            rain=self._rain_steps(rain_mm),
            level=self._level_steps(level_m),
            row=torch.arange(count),
            site=torch.full((count,), UNSEEN),
        )
        rates = torch.stack([network(batch).rates for network in self._networks]).mean(dim=0)
        return ahead[:, -1] + rates.sum(dim=1) * self._scale

    def _expected(self, rain_mm: Any, level_m: Any) -> tuple[Any, Any]:
        """Filtered drivers (N, 31, 9) and the expected increments (N, 30) of the days ahead."""
        import torch

        changes = (
            torch.einsum("fhc,nc->nhf", kept, values - was)
            for kept, values, was in zip(self._filters, (rain_mm, level_m), self._told, strict=True)
        )
        change = torch.cat(tuple(changes), dim=2)
        rate = torch.einsum("nhf,nf->nh", change, self._coefficients)[:, 1:]
        return self._wet + change, self._ahead + rate.cumsum(dim=1)

    def _shown(self, wet: Any, ahead: Any) -> Any:
        """What stands still, with the expected path and the filtered drivers told anew."""
        import torch

        unit = REPEAT_D * self._scale
        path = [ahead[:, h - 1] / unit / (h / REPEAT_D) for h in told.KNOTS_D]
        anew = torch.cat(
            [torch.stack(path, dim=1), wet[:, list(told.WET_DAYS_D)].flatten(1)], dim=1
        )
        anew = anew.clamp(-told.LARGEST, told.LARGEST)
        return torch.cat([anew, self._statics[:, anew.shape[1] :]], dim=1)

    def _rain_steps(self, rain_mm: Any) -> Any:
        days = _daily(self._rain, 2).clone()
        days[..., 0] = rain_mm.clamp(min=0.0).log1p()
        return days.reshape(self._rain.shape)

    def _level_steps(self, level_m: Any) -> Any:
        import torch

        days = _daily(self._level, 3).clone()
        height = days[..., 0] + (level_m - self._told[1]) / _LEVEL_SCALE_M
        days[..., 0] = height.clamp(-told.LARGEST, told.LARGEST)
        change = torch.diff(level_m, dim=1, prepend=self._before[:, None])
        days[..., 1] = change.clamp(-_LARGEST_CHANGE_M_D, _LARGEST_CHANGE_M_D)
        return days.reshape(self._level.shape)


def _said_once(block: Any, epochs: Any) -> Any:
    """What a block makes of the epochs, whatever it is asked: they stay as they were."""
    import torch

    class Said(torch.nn.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            with torch.no_grad():
                self.said = block(epochs.flip(1))

        def forward(self, _: Any) -> Any:
            return self.said

    return Said()


def _daily(steps: Any, channels: int) -> Any:
    """Five days a step as daily channels, (N, 150, channels)."""
    return steps.reshape(len(steps), WINDOW_D, channels)


def _filters() -> tuple[Floats, Floats]:
    """Filtered rain (4, 31, 150) and level (5, 31, 150) of day .. day + 30 for a unit a day.

    The same filters as `hydrology.daily`; they are linear, so a change of the drivers passes alone.
    """
    unit, nothing = np.zeros((WINDOW_D, 1)), np.zeros(1)
    unit[0] = 1.0
    rain = [
        hydrology.gamma_filter(unit / hydrology.RAIN_SCALE_MM, mean, nothing)
        for mean in hydrology.RAIN_MEANS_D
    ]
    lagged = [hydrology.exponential_filter(unit, m, nothing) for m in hydrology.LEVEL_MEANS_D]
    change = unit - np.roll(unit, hydrology.CHANGE_DAYS, axis=0)
    level = [
        unit / hydrology.LEVEL_SCALE_M,
        *((one - unit) / hydrology.DEFICIT_SCALE_M for one in lagged),
        change / hydrology.CHANGE_DAYS / hydrology.CHANGE_SCALE_M,
    ]
    return _of_window(rain), _of_window(level)


def _of_window(answers: list[Floats]) -> Floats:
    """Answers (150, 1) to a unit on the first day as matrices from drivers to days ahead."""
    whole = [toeplitz(one[:, 0], np.zeros(WINDOW_D)) for one in answers]
    return np.stack(whole)[:, _NOW:]
