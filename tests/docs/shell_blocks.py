"""The shell commands of the documentation, and what a test does with each of them."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
FENCE = re.compile(r"^( *)```(\w*)\n(.*?)^ *```", re.M | re.S)
SHELL = {"sh", "bash", "shell", "console"}

PARSED_ONLY = (
    (r"make |python -m benchmarks", "long, or sets the machine up: has tests or runs of its own"),
    (r"slopewatch demo", "long: tests/services/demo plays a short one"),
    (r"slopewatch run", "goes on until stopped: test_running runs it, and the slow first hour"),
    (r"slopewatch certify|slopewatch alerts tune", "minutes: tests of scoring and tuning run them"),
    (r"slopewatch twin", "long: tests/services/commands/test_twins.py runs it"),
    (
        r"slopewatch (train|forecast|hindcast|understand)",
        "needs years of record: the slow first hour runs it",
    ),
    (r"slopewatch( -\S+)* log copy", "needs two logs: test_moving runs it"),
    (r"slopewatch --config=\S*cluster", "needs a cluster: tests of the engines run it"),
    (r"slopewatch .*--site failing", "after make up: tests/tools/test_whole.py runs it"),
    (r"slopewatch ledger upgrade", "needs PostgreSQL: its contract tests run it"),
    (r"slopewatch dead-letters (show|retry)", "needs an id: test_dead_letter_retry runs it"),
    (r"slopewatch( -\S+)* (backup|restore)", "needs a place of its own: tests of backup run it"),
    (r"slopewatch --config=rehearsal", "after a restore: tests of backup run it"),
    (r".*mexico-city", "needs the recorded data set: tests/recorded runs it"),
    (r"python -m tools\.dashboards", "tests/helm/test_dashboards.py runs it"),
    (r"python -m tools\.practice", "test_docs_first_hour runs it"),
    (r"(mkdocs|python -m tools\.pictures)", "test_docs_site runs it"),
    (r"(sudo|runuser|slopewatch-command|install|useradd) |systemd-", "needs root"),
    (r"(systemctl|journalctl|apt-get|ln) ", "needs root"),
    (r"(kubectl|helm|docker|podman) ", "needs a cluster or a container engine"),
    (r"(promtool|amtool) ", "needs Prometheus: tests/helm runs it"),
    (r"(\S*/)?(pip|python3? -m (venv|pip)) |(airflow|uv|npm|git|curl) ", "needs a network"),
    (r"(psql|pg_dump|createdb|aws) ", "needs a server of the operator's"),
    (r"\. |(export|cd|mkdir|cp|mv|ls|cat) ", "of the reader's own shell"),
)
"""Pattern of a command's beginning, and why no test runs it as it stands; all others are run."""


class Command(NamedTuple):
    """One command line of a page, as its reader types it."""

    page: str
    text: str

    @property
    def reason(self) -> str | None:
        """Why it is parsed only; None: it is run."""
        for pattern, why in PARSED_ONLY:
            if re.match(pattern, self.text):
                return why
        return None

    @property
    def arguments(self) -> list[str]:
        """The words after `slopewatch`."""
        return shlex.split(self.text)[1:]


def pages() -> list[Path]:
    """Every page with commands that somebody may type."""
    return sorted([*(ROOT / "docs").rglob("*.md"), ROOT / "README.md", ROOT / "dags" / "README.md"])


def blocks(text: str, languages: set[str]) -> Iterator[str]:
    """Contents of fenced blocks, also of those in lists."""
    for indent, language, block in FENCE.findall(text):
        if language in languages:
            yield re.sub(rf"^{indent}", "", block, flags=re.M)


def commands(page: Path) -> Iterator[Command]:
    """The commands of a page's shell blocks; lines of a here-document belong to their command."""
    name = str(page.relative_to(ROOT))
    for block in blocks(page.read_text(encoding="utf-8"), SHELL):
        until = ""
        for line in block.replace("\\\n", " ").splitlines():
            if until:
                until = "" if line.strip() == until else until
                continue
            here = re.search(r"<<-?\s*['\"]?(\w+)", line)
            until = here[1] if here else ""
            text = re.sub(r"(^|\s)#.*$", "", line).strip().removeprefix("$ ")
            text = text.removeprefix(".venv/bin/")
            if text:
                yield Command(name, " ".join(text.split()))
