"""Which files of a folder belong together: phase and coherence of one pair of images, by name."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import date, datetime
from fnmatch import fnmatchcase
from pathlib import Path
from typing import NamedTuple

from core.errors import BadInputError, UnavailableError
from services.ingest.feed import Rejection

_DAYS = r"(?P<reference>\d{8})(?:T\d{6})?[-_](?P<secondary>\d{8})(?:T\d{6})?"


class Style(NamedTuple):
    """Regular expressions for names of phase and coherence files, and the headers' names."""

    phase: str
    coherence: str
    headers: str


STYLES = {
    "hyp3": Style(
        rf"^(?P<product>S1.*?_{_DAYS}_.*)_unw_phase\.tiff?$",
        rf"^(?P<product>S1.*?_{_DAYS}_.*)_corr\.tiff?$",
        "*.txt",
    ),
    "gamma": Style(
        rf"^(?P<frame>.*?){_DAYS}(?:_.*)?[_.]unw\.tiff?$",
        rf"^(?P<frame>.*?){_DAYS}(?:_.*)?[_.]cc\.tiff?$",
        "*.par",
    ),
}


class Pair(NamedTuple):
    """One interferogram; sorted by the day it tells of."""

    secondary: date
    reference: date
    phase: Path
    coherence: Path | None


def files_in(folder: Path) -> list[Path]:
    """Finished files of `folder` and below, by path; hidden and half-written ones are left out.

    Raises `UnavailableError` where there is no such folder.
    """
    if not folder.is_dir():
        raise UnavailableError(f"no folder {folder}: is it mounted, is `folder` right?")
    return sorted(
        path
        for path in folder.glob("**/*")
        if not path.name.endswith((".part", ".tmp"))
        and not any(part.startswith(".") for part in path.relative_to(folder).parts)
        and path.is_file()
    )


def named(files: Sequence[Path], pattern: str) -> list[Path]:
    """Files whose name matches the glob."""
    return [file for file in files if fnmatchcase(file.name, pattern)]


def find_pairs(files: Sequence[Path], style: Style) -> tuple[list[Pair], list[Rejection]]:
    """Pairs by secondary then reference day; files whose name tells no such days as R05.

    Partners agree in all named groups of the two expressions. Raises `BadInputError` where there
    are GeoTIFFs and none is named like a phase file.
    """
    phase, coherence = re.compile(style.phase), re.compile(style.coherence)
    partners = {_groups(m): f for f in files if (m := coherence.search(f.name))}
    pairs, rejected = [], []
    for file in files:
        if not (match := phase.search(file.name)):
            continue
        try:
            reference, secondary = _day(match["reference"]), _day(match["secondary"])
            if secondary <= reference:
                raise ValueError("the secondary image is not the later one")
        except ValueError as error:
            rejected.append(Rejection("R05", f"{file.name}: {error}", file.name, file.name))
            continue
        pairs.append(Pair(secondary, reference, file, partners.get(_groups(match))))
    rasters = sum(file.suffix.lower() in (".tif", ".tiff") for file in files)
    if rasters and not pairs and not rejected:
        raise BadInputError(
            f"none of {rasters} GeoTIFFs is named like a phase file: set `style` or `phase`"
        )
    return sorted(pairs, key=lambda pair: pair[:3]), rejected


def _groups(match: re.Match[str]) -> tuple[tuple[str, str], ...]:
    return tuple(sorted(match.groupdict(default="").items()))


def _day(digits: str) -> date:
    return datetime.strptime(digits, "%Y%m%d").date()
