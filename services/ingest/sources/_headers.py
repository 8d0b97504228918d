"""Text headers beside interferograms, and the line of sight they or look-vector rasters tell.

Sources: GAMMA ISP image parameter files (`*.par`: `heading` is the flight direction clockwise
from north, `incidence_angle` is at the scene's centre, `radar_frequency` in Hz); HyP3 product
guide (`<product>.txt`: `Heading`, ranges and heights in metres; `lv_theta` is the elevation of
the vector from ground to satellite above the horizontal, `lv_phi` its direction counted from
east toward north, both in radians).
"""

from __future__ import annotations

import math
import re
from datetime import date
from pathlib import Path
from typing import NamedTuple

import numpy as np

from core.errors import BadInputError, UnavailableError
from core.geometry import SENTINEL1_WAVELENGTH_MM, SPEED_OF_LIGHT_M_S, los_unit_vector
from services.ingest.grids import Floats

MAX_HEADER_BYTES = 1 << 20


class Header(NamedTuple):
    """What a header says; None where it does not. `day` is that of the image it belongs to."""

    day: date | None = None
    heading_deg: float | None = None
    incidence_deg: float | None = None
    wavelength_mm: float | None = None


def read_gamma(path: Path) -> Header | None:
    """A GAMMA image parameter file; None for other .par files (baselines, maps)."""
    fields = _fields(path)
    if "radar_frequency" not in fields:
        return None
    if (_number(fields, "azimuth_angle", path) or 90.0) < 0:
        raise BadInputError(
            f"{path.name} is of a left-looking radar: give lv_theta and lv_phi rasters instead"
        )
    frequency = _number(fields, "radar_frequency", path)
    return Header(
        day=_day(fields.get("date", "")),
        heading_deg=_number(fields, "heading", path),
        incidence_deg=_number(fields, "incidence_angle", path),
        wavelength_mm=1e3 * SPEED_OF_LIGHT_M_S / frequency if frequency else None,
    )


def read_hyp3(path: Path) -> Header | None:
    """A HyP3 product's metadata; None for other .txt files.

    The incidence angle is that at the centre of the scene, from the triangle of Earth's centre,
    satellite and ground: cos i = ((R + H)^2 - r^2 - R^2) / (2 r R). The wavelength is known by
    the granule's name: every Sentinel-1 has the same.
    """
    fields = _fields(path)
    granule = fields.get("Reference Granule")
    if granule is None:
        return None
    slant = _number(fields, "Slant range center", path)
    height = _number(fields, "Spacecraft height", path)
    radius = _number(fields, "Earth radius at nadir", path)
    incidence = None
    if slant and height and radius:
        cosine = ((radius + height) ** 2 - slant**2 - radius**2) / (2 * slant * radius)
        incidence = math.degrees(math.acos(cosine)) if abs(cosine) <= 1 else None
    found = re.search(r"_(\d{8})T\d{6}_", granule)
    return Header(
        day=_day(found.group(1)) if found else None,
        heading_deg=_number(fields, "Heading", path),
        incidence_deg=incidence,
        wavelength_mm=SENTINEL1_WAVELENGTH_MM if granule.startswith("S1") else None,
    )


def los_from_angles(heading_deg: float | None, incidence_deg: float | None) -> list[float]:
    """(east, north, up) from ground to satellite of a right-looking radar; NaN where unknown."""
    if heading_deg is None or incidence_deg is None:
        return [math.nan] * 3
    return [float(part) for part in los_unit_vector(heading_deg, incidence_deg)]


def los_from_look(theta_rad: Floats, phi_rad: Floats) -> list[Floats]:
    """(east, north, up) from ground to satellite of HyP3 and GAMMA look-vector angles."""
    theta, phi = theta_rad.astype(np.float64), phi_rad.astype(np.float64)
    return [np.cos(theta) * np.cos(phi), np.cos(theta) * np.sin(phi), np.sin(theta)]


def _fields(path: Path) -> dict[str, str]:
    try:
        with path.open(encoding="utf-8", errors="replace") as file:
            text = file.read(MAX_HEADER_BYTES)
    except OSError as error:
        raise UnavailableError(f"cannot read {path}: {error.strerror or error}") from error
    fields: dict[str, str] = {}
    for line in text.splitlines():
        name, colon, value = line.partition(":")
        if colon:
            fields.setdefault(name.strip(), value.strip())
    return fields


def _number(fields: dict[str, str], name: str, path: Path) -> float | None:
    text = fields.get(name, "").split()
    if not text:
        return None
    try:
        value = float(text[0])
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise BadInputError(f"{path.name}: {name} is {text[0]!r}, not a number")
    return value


def _day(text: str) -> date | None:
    digits = re.sub(r"\s+", " ", text).strip()
    found = re.match(r"(\d{4}) ?(\d{1,2}) ?(\d{1,2})", digits)
    try:
        return date(*(int(part) for part in found.groups())) if found else None
    except ValueError:
        return None
