"""Draws the overview and one site view: `python -m tools.dashboards.pictures [FOLDER]`.

No Grafana is at work: a season is lived through (`season`), the dashboards' own queries are put to
its Prometheus and PostgreSQL, and matplotlib draws what they answer. The pictures say so.
"""

from __future__ import annotations

import sys
import tempfile
from io import BytesIO
from pathlib import Path

import matplotlib
from PIL import Image

from tools.dashboards.picture_overview import overview
from tools.dashboards.picture_parts import DPI, Shown
from tools.dashboards.picture_site import site
from tools.dashboards.season import Season, season
from tools.engine.postgres import Postgres

PICTURES = Path(__file__).parents[2] / "docs" / "pictures"


def draw(now: Season, folder: Path) -> list[Path]:
    """Both pictures into `folder`; their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    made = []
    with now.sql() as projection:
        figures = {
            "overview": overview(Shown("overview", now, projection)),
            "site": site(Shown("site", now, projection)),
        }
    for name, figure in figures.items():
        path = folder / f"dashboard-{name}.png"
        drawn = BytesIO()
        figure.savefig(drawn, dpi=DPI)
        # A palette makes the file a third as large, and nobody sees it.
        Image.open(drawn).convert("RGB").quantize(160, dither=Image.Dither.NONE).save(
            path, optimize=True
        )
        made.append(path)
    return made


def main(folder: Path) -> None:
    """Live through a season and draw it."""
    matplotlib.use("agg")
    with tempfile.TemporaryDirectory() as place:
        lived = Path(place)
        with Postgres(lived / "postgres") as database, season(lived, database) as now:
            for path in draw(now, folder):
                print(path)


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else PICTURES)
