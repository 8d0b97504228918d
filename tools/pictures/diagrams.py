"""Draw the mermaid diagrams of docs/ as pictures, so that the site needs no other server's script.

`python -m tools.pictures.diagrams` draws those that have no picture and removes pictures of those
that are gone. It needs Chromium and npm, which fetches mermaid once into .tools; whoever changes no
diagram needs neither. A picture's name is the digest of its diagram (`tools.site.hooks.digest`).
"""

from __future__ import annotations

import html
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

from tools.site.hooks import DIAGRAMS, MERMAID, ROOT, digest

PACKAGE = "mermaid@11.12.2"
PLACE = ROOT / ".tools" / "mermaid"
SCRIPT = PLACE / "node_modules" / "mermaid" / "dist" / "mermaid.min.js"
PAGE = """<!doctype html><meta charset="utf-8"><pre id="source">{source}</pre><div id="out"></div>
<script src="{script}"></script><script>
mermaid.initialize({{startOnLoad: false, theme: "neutral", fontFamily: "sans-serif",
  htmlLabels: false, deterministicIds: true, flowchart: {{htmlLabels: false}}}});
mermaid.render("d", document.getElementById("source").textContent)
  .then(drawn => document.getElementById("out").innerHTML = drawn.svg);
</script>"""


def diagrams() -> dict[str, str]:
    """Every diagram of docs/ by its digest."""
    pages = sorted((ROOT / "docs").rglob("*.md"))
    found = (text for page in pages for text in MERMAID.findall(page.read_text(encoding="utf-8")))
    return {digest(text): text for text in found}


def draw(diagram: str) -> str:
    """The diagram as SVG. Raises `SystemExit` with what to do where it cannot be drawn."""
    browser = shutil.which("chromium") or shutil.which("google-chrome")
    if browser is None:
        raise SystemExit("to draw diagrams install Chromium")
    if not SCRIPT.exists():
        _fetch()
    with tempfile.TemporaryDirectory() as folder:
        page = Path(folder) / "page.html"
        page.write_text(PAGE.format(source=html.escape(diagram), script=SCRIPT.as_uri()))
        quiet = ("--headless", "--no-sandbox", "--disable-gpu", "--allow-file-access-from-files")
        command = [browser, *quiet, "--virtual-time-budget=20000", "--dump-dom", page.as_uri()]
        shown = subprocess.run(command, capture_output=True, text=True, check=True, timeout=180)
    svg = re.search(r'<div id="out">(<svg.*?</svg>)', shown.stdout, re.S)
    if svg is None:
        raise SystemExit(f"mermaid could not draw this diagram:\n{diagram}")
    return _sized(svg[1])


def _sized(svg: str) -> str:
    """With a width and height of its own, as a picture in a page needs, and as an XML file."""
    box = re.search(r'viewBox="[-\d.]+ [-\d.]+ ([\d.]+) ([\d.]+)"', svg)
    if box is None:
        raise SystemExit("mermaid's picture has no viewBox")
    head = f'<svg width="{float(box[1]):.0f}" height="{float(box[2]):.0f}"'
    svg = re.sub(r'^<svg([^>]*?) width="[^"]*"', r"<svg\1", svg)
    return svg.replace("<svg", head, 1).replace("<br>", "<br/>") + "\n"


def _fetch() -> None:
    if shutil.which("npm") is None:
        raise SystemExit("to draw diagrams install npm: it fetches mermaid")
    command = ["npm", "install", "--silent", "--no-save", "--prefix", str(PLACE), PACKAGE]
    subprocess.run(command, check=True)


def main() -> None:
    """Draw what is missing, remove what is over."""
    folder = ROOT / "docs" / DIAGRAMS
    folder.mkdir(parents=True, exist_ok=True)
    wanted = diagrams()
    for path in folder.glob("*.svg"):
        if path.stem not in wanted:
            path.unlink()
    for name, diagram in wanted.items():
        path = folder / f"{name}.svg"
        if not path.exists():
            path.write_text(draw(diagram), encoding="utf-8")
            print(path)


if __name__ == "__main__":
    main()
