"""`slopewatch twin make` and `twin plot`: simulated sites as a file, and as a picture."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from core.errors import SettingsError

if TYPE_CHECKING:
    from core.twin.pools import SimulatedPool

PICTURES = (".png", ".svg", ".pdf")


def make_twin(
    role: str, noise: str, out: Path, sites: int | None, echo: Callable[[str], None]
) -> None:
    """Simulate a frozen pool and write it as CF netCDF.

    Args:
        role: 'training', 'development', 'test' or 'events'.
        noise: 'white-3', 'white-5' or 'radar'.
        out: the file, ending in .nc; one that is there is replaced.
        sites: how many sites, from the first; all without it.
        echo: says what was written.

    Raises:
        SettingsError: an unknown pool, a number of sites it does not have, or a file that cannot
            be written there.
        PoolChangedError: what is simulated here is not what was frozen.
    """
    from services.commands._twin_file import dataset

    _check_place(out, (".nc",))
    pool = _pool(role, noise, sites)
    data = dataset(pool)
    compressed = {
        name: {"zlib": True, "complevel": 1}
        for name, variable in data.data_vars.items()
        if variable.dtype.kind in "fib" and variable.ndim > 1
    }
    data.to_netcdf(out, engine="h5netcdf", encoding=compressed)
    count, days = pool.truth.rain_mm.shape
    size_mb = out.stat().st_size / 1e6
    echo(f"{out}: {count} simulated sites, {days} days, noise {noise}, {size_mb:.1f} MB")


def plot_twin(role: str, noise: str, site: int, out: Path, echo: Callable[[str], None]) -> None:
    """Draw one simulated site: rain, level, and the motion of its toe and ridge as it was and as
    the radar saw it.

    Args:
        role: as for `make_twin`.
        noise: as for `make_twin`.
        site: number of the site in its pool, from 0.
        out: the picture, ending in .png, .svg or .pdf; one that is there is replaced.
        echo: says what was drawn.

    Raises:
        SettingsError: an unknown pool, a site it does not have, or a file that cannot be written
            there.
        PoolChangedError: what is simulated here is not what was frozen.
    """
    from services.commands._twin_figure import figure

    _check_place(out, PICTURES)
    if site < 0:
        raise SettingsError(f"There is no site {site}: sites of a pool are numbered from 0.")
    pool = _pool(role, noise, site + 1)
    figure(pool, site).savefig(out, dpi=150)
    truth = pool.truth
    echo(f"{out}: simulated site {site} of {role}, {truth.drainage[site]}, {truth.kind[site]}")


def _pool(role: str, noise: str, sites: int | None) -> SimulatedPool:
    from core.twin.pools import forecast_pool

    try:
        return forecast_pool(role, noise, sites)
    except ValueError as error:
        raise SettingsError(f"No such pool of simulated sites: {error}.") from error


def _check_place(out: Path, endings: tuple[str, ...]) -> None:
    if out.suffix.lower() not in endings:
        raise SettingsError(f"{out} must end in {' or '.join(endings)}: that says what it is.")
    if not out.absolute().parent.is_dir():
        raise SettingsError(f"{out} cannot be written: {out.absolute().parent} is no folder.")
