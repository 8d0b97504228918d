"""All dashboards as the JSON files that Grafana is given: the same bytes every time."""

from __future__ import annotations

from pathlib import Path

from grafana_foundation_sdk.cog.encoder import JSONEncoder

from tools.dashboards import feeds, notifications, overview, pipeline, site, skill
from tools.dashboards.panels import RUNBOOKS

FOLDER = Path(__file__).parents[2] / "helm" / "slopewatch" / "dashboards"
MADE = {
    "overview": overview.made,
    "site": site.made,
    "pipeline": pipeline.made,
    "feeds": feeds.made,
    "skill": skill.made,
    "notifications": notifications.made,
}


def texts(runbooks: str = RUNBOOKS) -> dict[str, str]:
    """The content of each file by its name; links to runbooks begin with `runbooks`."""
    encoder = JSONEncoder(sort_keys=True, indent=2, ensure_ascii=False)
    place = f'"{runbooks.rstrip("/")}/'
    return {
        f"{name}.json": encoder.encode(make()).replace(f'"{RUNBOOKS}/', place) + "\n"
        for name, make in MADE.items()
    }


def write(folder: Path, runbooks: str = RUNBOOKS) -> list[Path]:
    """Write all files into `folder`; their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for name, text in texts(runbooks).items():
        path = folder / name
        path.write_text(text, encoding="utf-8")
        paths.append(path)
    return paths
