"""What `mkdocs build` does beyond its settings: docs/ reads well on a code host and as a site.

- `adr/*.md` in the navigation stands for all pages of that folder, in the order of their names.
- Pages that lie outside docs/ are taken in (`TAKEN_IN`), and links to other files of the repository
  are followed by copying these files into the site. A link to a folder keeps its words alone.
- A mermaid diagram becomes the picture that `python -m tools.pictures.diagrams` drew of it, so that
  a reader's browser asks no other server for a script. A diagram without a picture fails the build.
"""

from __future__ import annotations

import hashlib
import logging
import posixpath
import re
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).parents[2]
TAKEN_IN = {
    "CONTEXT.md": "glossary.md",
    "CHANGELOG.md": "changelog.md",
    "dags/README.md": "airflow.md",
}
"""Path in the repository -> page of the site."""
DIAGRAMS = "pictures/diagrams"
LINK = re.compile(r"\[([^\]]*)\]\(([^)\s#]+)(#[^)\s]*)?\)")
MERMAID = re.compile(r"^```mermaid\n(.*?)^```\n?", re.M | re.S)
FENCE = re.compile(r"^ *```.*?^ *```\n?", re.M | re.S)

log = logging.getLogger("mkdocs.hooks.slopewatch")


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Put the pages of a folder in the place of `folder/*.md`."""
    config.nav = [_unfolded(entry, Path(config.docs_dir)) for entry in config.nav or []]
    return config


def _unfolded(entry: Any, docs: Path) -> Any:
    if isinstance(entry, dict):
        return {title: _unfolded(inner, docs) for title, inner in entry.items()}
    if isinstance(entry, list):
        return [_unfolded(inner, docs) for inner in entry]
    if not entry.endswith("/*.md"):
        return entry
    found = sorted(path.relative_to(docs).as_posix() for path in docs.glob(entry))
    return sorted(found, key=lambda name: not name.endswith("/index.md"))


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Take in what lies outside docs/, as far as pages link to it."""
    for outside, page in TAKEN_IN.items():
        files.append(File.generated(config, page, abs_src_path=str(ROOT / outside)))
    linked = {
        _in_repository(file.src_uri, target)
        for file in files.documentation_pages()
        for _, target, _ in LINK.findall(_text(file))
    }
    for target in sorted(name for name in linked if name and name not in TAKEN_IN):
        if not target.startswith("docs/") and (ROOT / target).is_file():
            files.append(File.generated(config, _copied(target), abs_src_path=str(ROOT / target)))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Draw diagrams, and lead links out of docs/ to what was taken in."""
    here = page.file.src_uri

    def led(match: re.Match[str]) -> str:
        words, target, anchor = match.groups()
        outside = _in_repository(here, target)
        if outside is None:
            return match[0]
        if (ROOT / outside).is_dir():
            return words  # a site has no page for a folder of the repository
        there = TAKEN_IN.get(outside) or _copied(outside)
        there = posixpath.relpath(there, posixpath.dirname(here) or ".")
        return f"[{words}]({there}{anchor or ''})"

    def drawn(match: re.Match[str]) -> str:
        name = f"{DIAGRAMS}/{digest(match[1])}.svg"
        if files.get_file_from_path(name) is None:
            log.warning(
                "%s has a diagram that was not drawn: run python -m tools.pictures.diagrams", here
            )
        there = posixpath.relpath(name, posixpath.dirname(here) or ".")
        return f"![Diagram to the text around it]({there}){{ .drawn }}\n"

    return _outside_fences(LINK, led, MERMAID.sub(drawn, markdown))


def digest(diagram: str) -> str:
    """The name of a diagram's picture: it changes with every word of the diagram."""
    return hashlib.sha256(diagram.encode()).hexdigest()[:12]


def _text(file: File) -> str:
    return FENCE.sub("", Path(file.abs_src_path or "").read_text(encoding="utf-8"))


def _in_repository(page: str, target: str) -> str | None:
    """The path in the repository of a link out of docs/; None for every other link."""
    if re.match(r"[a-z]+:|/", target):
        return None
    source = next((path for path, taken in TAKEN_IN.items() if taken == page), f"docs/{page}")
    path = posixpath.normpath(posixpath.join(posixpath.dirname(source), target))
    if path.startswith("docs/"):
        return None if source.startswith("docs/") else path
    return None if path.startswith("..") else path


def _copied(path: str) -> str:
    """Where a file of the repository lies in the site."""
    return path.removeprefix("docs/") if path.startswith("docs/") else f"repository/{path}"


def _outside_fences(pattern: re.Pattern[str], change: Any, text: str) -> str:
    """`pattern.sub(change, text)`, code blocks left as they are."""
    parts, end = [], 0
    for fence in FENCE.finditer(text):
        parts += [pattern.sub(change, text[end : fence.start()]), fence[0]]
        end = fence.end()
    return "".join([*parts, pattern.sub(change, text[end:])])
