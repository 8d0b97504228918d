"""The site is built strictly, asks no other server, and its pictures and figures are those made."""

from __future__ import annotations

import logging
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from mkdocs.commands.build import build
from mkdocs.config import load_config

from services import reference
from tests.docs.shell_blocks import ROOT
from tools.pictures import concepts, diagrams
from tools.site.hooks import DIAGRAMS

DOCS = ROOT / "docs"
pytestmark = pytest.mark.xdist_group("docs-site")
LOADED = {("script", "src"), ("img", "src"), ("link", "href"), ("iframe", "src"), ("source", "src")}
"""What a browser fetches by itself when a page is opened."""


class Fetched(HTMLParser):
    """Addresses that a page makes a browser fetch."""

    def __init__(self) -> None:
        super().__init__()
        self.addresses: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.addresses += [value for name, value in attrs if (tag, name) in LOADED and value]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site, built as `mkdocs build --strict` builds it: a warning fails."""
    folder = tmp_path_factory.mktemp("site")
    told: list[str] = []
    catcher: Any = logging.Handler(logging.WARNING)
    catcher.emit = lambda record: told.append(record.getMessage())
    logging.getLogger("mkdocs").addHandler(catcher)
    try:
        build(load_config(str(ROOT / "mkdocs.yml"), site_dir=str(folder)))
    except SystemExit:
        pass
    except Exception as error:
        told.append(str(error))
    finally:
        logging.getLogger("mkdocs").removeHandler(catcher)
    assert told == []
    return folder


def test_every_page_is_in_the_site(site: Path) -> None:
    for page in DOCS.rglob("*.md"):
        assert (site / page.relative_to(DOCS).with_suffix(".html")).exists(), page


def test_no_page_makes_a_browser_ask_another_server(site: Path) -> None:
    pages = list(site.rglob("*.html"))
    assert len(pages) > 50
    for page in pages:
        parser = Fetched()
        parser.feed(page.read_text(encoding="utf-8"))
        foreign = [a for a in parser.addresses if re.match(r"(https?:)?//", a)]
        assert foreign == [], page.name
        assert 'class="mermaid"' not in page.read_text(encoding="utf-8"), page.name


def test_every_page_is_found_by_search(site: Path) -> None:
    index = (site / "search" / "search_index.json").read_text(encoding="utf-8")
    for words in ("first-hour.html", "how-to/run-a-drill.html", "cli.html#alerts-silence"):
        assert words in index


def test_diagrams_that_are_drawn_are_those_of_the_pages() -> None:
    drawn = {path.stem for path in (DOCS / DIAGRAMS).glob("*.svg")}
    assert drawn == set(diagrams.diagrams()), "run: python -m tools.pictures.diagrams"


@pytest.mark.parametrize("name", concepts.PICTURES)
def test_pictures_are_those_that_the_code_draws(name: str) -> None:
    text = (concepts.FOLDER / name).read_text(encoding="utf-8")
    assert text == concepts.PICTURES[name](), "run: python -m tools.pictures.concepts"


def test_every_command_and_option_says_what_it_means() -> None:
    for name, command in reference.commands().items():
        assert (command.help or "").strip(), name
        for what, said in reference.options_of(name, command).items():
            assert re.sub(r"\[[^]]*\]", "", said).strip(), f"{name} {what}"


def skill_row(page: str, head: str, name: str) -> list[str]:
    """Cells of a row of the table that comes after `head`."""
    text = (DOCS / page).read_text(encoding="utf-8").split(head, 1)[1]
    row = next(line for line in text.splitlines() if line.startswith(f"| {name} |"))
    return [cell.strip() for cell in row.strip("|").split("|")][1:]


def first_number(cell: str) -> str:
    return cell.split(" [", maxsplit=1)[0]


@pytest.mark.parametrize("level", ["yellow", "orange", "red", "two-epoch velocity"])
def test_figures_of_the_first_page_are_those_measured(level: str) -> None:
    name = level if " " in level else f"slopewatch, {level}"
    measured = [first_number(c) for c in skill_row("alert-skill.md", "## Limits", name)]
    false, _, ahead_14, ahead_30, *_ = measured
    shown = level if " " not in level else f"for comparison: {level}"
    row = f"| {shown} | {ahead_14} | {ahead_30} | {false} |"
    assert row in (DOCS / "index.md").read_text(encoding="utf-8")


def rows_of(name: str, columns: int) -> dict[str, list[str]]:
    lines = (DOCS / name).read_text(encoding="utf-8").splitlines()
    cells = [[c.strip() for c in line.strip("|").split(" | ")] for line in lines if line[:1] == "|"]
    return {row[0].strip("`"): row[1:] for row in cells if len(row) == columns}


def test_errors_of_models_are_those_measured() -> None:
    head = "### radar, operational: error by horizon"
    for name, row in rows_of("models.md", 5).items():
        if row[1].replace(".", "").isdigit():
            measured = [first_number(c) for c in skill_row("skill.md", head, name)]
            assert row[1:3] == [measured[4], measured[6]], name


def test_skill_of_rules_is_that_measured() -> None:
    seen = 0
    for name, row in rows_of("models.md", 5).items():
        if row[1].endswith(" %"):
            known = name if " " in name else f"{name} alone"
            measured = [first_number(c) for c in skill_row("alert-skill.md", "## Limits", known)]
            assert row[1:3] == [measured[2], measured[0]], name
            seen += 1
    assert seen == 9
