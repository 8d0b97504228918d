"""What the documentation says can be followed: links, commands, files; and nothing leaks."""

import functools
import re
import shlex
import subprocess
from pathlib import Path

import click
import pytest
import yaml

from core.settings import load_site
from tests.docs.shell_blocks import blocks, commands

ROOT = Path(__file__).parents[2]
OUTSIDE_DOCS = ("README.md", "CONTEXT.md", "CHANGELOG.md", "dags/README.md")
PAGES = sorted([*(ROOT / "docs").rglob("*.md"), *(ROOT / name for name in OUTSIDE_DOCS)])
LINK = re.compile(r"\[[^\]]+\]\(([^)\s]+)\)")
FENCE = re.compile(r"^ *```\w*\n.*?^ *```", re.M | re.S)
TERMS = (
    "acquisition",
    "alert",
    "archive",
    "as_of",
    "at_seq",
    "available_at",
    "blind",
    "catching up",
    "chain",
    "checkpoint",
    "closed day",
    "component",
    "coverage",
    "dead letter",
    "deadline",
    "decision",
    "displacement",
    "epoch",
    "evidence",
    "forecast",
    "head",
    "historical",
    "inbox",
    "innovation",
    "ledger",
    "level",
    "news",
    "notification",
    "out of range",
    "outcome",
    "pair",
    "parked",
    "processed_at",
    "reference",
    "rejection",
    "site",
    "slope unit",
    "stage",
    "stale",
    "track",
    "truth",
    "twin",
    "valid_time",
    "velocity",
    "verdict",
    "vintage",
    "vote",
    "watched",
)


def name_of(page: Path) -> str:
    return str(page.relative_to(ROOT))


def anchors(page: Path) -> set[str]:
    """Anchors as code hosts make them of headings."""
    text = FENCE.sub("", page.read_text(encoding="utf-8"))
    heads = re.findall(r"^#+ +(.*)$", text, re.M)
    return {re.sub(r"[^\w\- ]", "", head).strip().lower().replace(" ", "-") for head in heads}


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_relative_links_resolve(page):
    text = FENCE.sub("", page.read_text(encoding="utf-8"))
    for target in LINK.findall(text):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        there = (page.parent / path).resolve() if path else page
        assert there.exists(), f"{name_of(page)}: {target}"
        assert there.is_relative_to(ROOT), f"{name_of(page)}: {target} leads out of the repository"
        if anchor and there.suffix == ".md":
            assert anchor in anchors(there), f"{name_of(page)}: {target}"


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_files_and_folders_named_in_the_text_exist(page):
    text = FENCE.sub("", page.read_text(encoding="utf-8"))
    for named in re.findall(r"`([\w./-]+(?:\.py|\.yaml|/))`", text):
        if "/" in named and not named.startswith(("/", "./")):
            there = [ROOT / named, page.parent / named]
            assert any(path.exists() for path in there), f"{name_of(page)}: {named}"


def shell_lines(page: Path):
    """Commands of shell blocks, and those quoted in the text."""
    for command in commands(page):
        _, inner, words = command.text.partition(" -- slopewatch ")
        yield f"slopewatch {words}" if inner else command.text
    yield from re.findall(r"`(slopewatch [^`]+)`", FENCE.sub("", page.read_text(encoding="utf-8")))


@functools.cache
def command_line() -> click.Command:
    """The command line; making it takes a third of a second."""
    import typer

    from services import cli

    return typer.main.get_command(cli.app)


def fault_of(line: str) -> str | None:
    """Why a `slopewatch` command line cannot be: an unknown command or option."""
    here = command_line()
    options = {o for p in here.params for o in [*p.opts, *p.secondary_opts]} | {"--help"}
    for word in shlex.split(line)[1:]:
        if re.match(r"-\d", word):
            continue  # a negative value, such as that of --level
        if word.startswith("-"):
            if word.partition("=")[0] not in options:
                return f"{line!r}: no option {word}"
        elif hasattr(here, "commands"):
            if word not in here.commands:
                return f"{line!r}: no command {word}"
            here = here.commands[word]
            options |= {o for p in here.params for o in [*p.opts, *p.secondary_opts]}
    return None


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_commands_exist(page):
    pytest.importorskip("services.cli", reason="the command line is not there yet")
    lines = [line for line in shell_lines(page) if line.split()[:1] == ["slopewatch"]]
    assert [fault for line in lines if (fault := fault_of(line))] == []


def test_yaml_of_the_docs_is_yaml_and_the_example_site_is_one():
    for page in PAGES:
        for block in blocks(page.read_text(encoding="utf-8"), {"yaml"}):
            assert yaml.safe_load(block), name_of(page)
    for path in (ROOT / "examples").rglob("site.yaml"):
        assert load_site(path).name


def test_the_glossary_explains_its_terms():
    text = (ROOT / "CONTEXT.md").read_text(encoding="utf-8").lower()
    explained = " ".join(re.findall(r"\*+([^*]+)\*+", text))
    for term in TERMS:
        assert term in explained, term


def test_decisions_are_short_numbered_and_complete():
    pages = sorted((ROOT / "docs" / "adr").glob("*.md"))
    for number, page in enumerate(pages, start=1):
        text = page.read_text(encoding="utf-8")
        assert page.name.startswith(f"{number:04d}-")
        assert text.startswith(f"# {number}. ")
        assert text.count("\n") <= 40, page.name
        for part in ("## Context", "## Decision", "## Consequences"):
            assert part in text, page.name


def test_nothing_names_a_machine_or_a_registry():
    listed = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard", "-z"],
        cwd=ROOT,
        capture_output=True,
        check=False,
    )
    if listed.returncode:
        pytest.skip("not a git checkout")
    slash = "/"
    forbidden = [
        *(f"{slash}{folder}{slash}" for folder in ("work", "root", "home")),
        "pypi." + "org/simple",
        "files.python" + "hosted.org",
        "shared" + "/design",
    ]
    for name in filter(None, listed.stdout.decode().split("\0")):
        path = ROOT / name
        if not path.is_file() or name == "uv.lock" or path.stat().st_size > 1 << 20:
            continue
        content = path.read_bytes()
        found = [text for text in forbidden if text.encode() in content]
        assert not found, f"{name} names {found}"


def test_the_licence_is_whole():
    text = (ROOT / "LICENSE").read_text(encoding="utf-8")
    assert "Apache License" in text
    assert "END OF TERMS AND CONDITIONS" in text
