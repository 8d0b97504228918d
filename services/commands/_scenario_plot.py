"""Draws what the units would do under a scenario beside what was issued."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from services.commands.forecasting import Response
from services.inference.model import HORIZONS_D
from services.inference.state import SiteState


def draw(responses: Sequence[Response], state: SiteState, days: int, out: Path) -> None:
    """One panel for each unit and track that has a forecast, as PNG or SVG."""
    from matplotlib.figure import Figure

    assert state.site is not None
    panels = [
        (response, u, unit.id)
        for response in responses
        for u, unit in enumerate(state.site.slope_units)
        if np.isfinite(response.base_mm[:, u]).all()
    ]
    figure = Figure(figsize=(7.0, 2.6 * max(len(panels), 1)), layout="constrained")
    axes = figure.subplots(max(len(panels), 1), 1, squeeze=False, sharex=True)[:, 0]
    shown = np.array([h <= days for h in HORIZONS_D])
    ahead = np.array(HORIZONS_D)[shown]
    for axis, (response, unit, name) in zip(axes, panels, strict=False):
        base = (response.base_mm, response.base_low_mm, response.base_high_mm)
        asked = (response.mean_mm, response.low_mm, response.high_mm)
        for label, colour, values in (("issued", "#555555", base), ("scenario", "#b3451b", asked)):
            mean, low, high = (value[shown, unit] for value in values)
            axis.plot(ahead, mean, color=colour, label=label)
            axis.fill_between(ahead, low, high, color=colour, alpha=0.2, linewidth=0)
        axis.set_title(f"{name}, track {response.track}", fontsize=9)
        axis.set_ylabel("LOS mm")
    axes[0].legend(fontsize=8)
    axes[-1].set_xlabel(f"days after {state.last_closed}; bands hold 90 %")
    title = state.site.title or state.site.name
    figure.suptitle(f"SIMULATED: {title}" if state.site.simulated else title, fontsize=10)
    figure.savefig(out)
