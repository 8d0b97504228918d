"""Every command of the documentation is run in a scratch folder, or parsed for a stated reason."""

from __future__ import annotations

import re
import shutil
from collections import Counter
from pathlib import Path

import pytest

from tests.docs.scratch import called, in_folder
from tests.docs.shell_blocks import ROOT, Command, commands, pages
from tests.services.commands.alert_season import SITE

pytestmark = pytest.mark.xdist_group("docs-commands")

ALL = [command for page in pages() for command in commands(page)]
RUN = sorted({c.text for c in ALL if c.reason is None})
WITHOUT_OUTSIDE = {"site new": "--offline", "doctor": "--no-network"}
"""Commands that ask the outside, and the option that keeps them from it: no test has a network."""
STAND_FOR = {"NAME": "my-slope", "FEED": "table", "ID": "dam.toe"}
"""What pages write for a name of the reader's own."""
OPERATORS_WORDS = {"acknowledge", "silence", "handover", "unsilence", "amend", "cancel", "drill"}


def placed(text: str) -> tuple[str, tuple[str, ...]]:
    """The folder in which a command is run, and its words there.

    Alerts are asked for in the season with alerts, whose site is called dam. What stands for a name
    of the reader's becomes a name that is there; outside services are not asked.
    """
    words = [STAND_FOR.get(word, word) for word in Command("", text).arguments]
    said = " ".join(words)
    words += [option for start, option in WITHOUT_OUTSIDE.items() if said.startswith(start)]
    if said.startswith("site new"):
        return "fresh", tuple(words)
    if said.startswith(("alerts", "ledger", "log tail alerts")) and "contacts" not in said:
        renamed = (re.sub(r"^my-slope\b", SITE, word) for word in words)
        return "alerted", tuple(re.sub(r"^dam\.toe\.\d+$", "dam.toe", word) for word in renamed)
    return "watched", tuple(words)


def test_every_command_is_run_or_has_a_reason() -> None:
    counts = Counter(c.reason or "RUN" for c in ALL)
    print(f"\n{len(ALL)} commands in {len({c.page for c in ALL})} pages")
    for why, count in counts.most_common():
        print(f"  {count:4} {why}")
    assert counts["RUN"] >= 100
    assert len(RUN) >= 35


def test_no_reason_is_left_over() -> None:
    strange = [c for c in ALL if c.reason is None and not c.text.startswith("slopewatch ")]
    assert strange == [], "run these, or say in PARSED_ONLY why no test does"


def order(call: tuple[str, tuple[str, ...]]) -> tuple[bool, tuple[str, ...]]:
    """An operator's words come after the questions, for they change what is asked about."""
    return bool(OPERATORS_WORDS & set(call[1])), call[1]


@pytest.mark.parametrize(
    ("folder", "words"),
    sorted({placed(text) for text in RUN}, key=order),
    ids=lambda value: value if isinstance(value, str) else " ".join(value),
)
def test_command_runs(folder: str, words: tuple[str, ...], scratch: Path, tmp_path: Path) -> None:
    if folder == "fresh":
        shutil.copytree(scratch / "watched" / "data", tmp_path / "data")
        in_folder(tmp_path, lambda: called(*words) and None)
    else:
        in_folder(scratch / folder, lambda: called(*words) and None)


def test_targets_of_make_are_there() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    asked = {c.text.split()[1] for c in ALL if c.text.startswith("make ")}
    assert asked
    assert [target for target in asked if f"\n{target}:" not in makefile] == []


def test_benchmarks_that_are_named_are_there() -> None:
    lines = [c.text.split()[3:] for c in ALL if c.text.startswith("python -m benchmarks")]
    assert lines
    for name in (word for words in lines for word in words if not word.startswith("-")):
        assert (ROOT / "benchmarks" / f"bench_{name}.py").exists(), name
