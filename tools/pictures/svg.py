"""A few shapes as SVG: enough for the pictures of the documentation, the same every time."""

from __future__ import annotations

from html import escape

INK, SOFT, PALE = "#1f2933", "#64748b", "#e2e8f0"
LEVELS = {"blue": "#3b82c4", "yellow": "#eab308", "orange": "#ea7317", "red": "#c81e1e"}
FONT = "system-ui, 'DejaVu Sans', sans-serif"


class Drawing:
    """Shapes on a white sheet, in pixels from the upper left corner."""

    def __init__(self, width: int, height: int, title: str) -> None:
        self._head = (
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" '
            f'viewBox="0 0 {width} {height}" role="img" font-family="{FONT}">\n'
            f"<title>{escape(title)}</title>\n"
            '<defs><marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" '
            f'markerHeight="7" orient="auto"><path d="M0 0 8 4 0 8z" fill="{SOFT}"/>'
            "</marker></defs>\n"
            f'<rect width="{width}" height="{height}" fill="#fff"/>\n'
        )
        self._shapes: list[str] = []

    def text(
        self,
        x: float,
        y: float,
        words: str,
        *,
        size: int = 13,
        color: str = INK,
        anchor: str = "middle",
        bold: bool = False,
    ) -> None:
        """A line of words whose baseline is at `y`."""
        weight = ' font-weight="600"' if bold else ""
        self._shapes.append(
            f'<text x="{x:g}" y="{y:g}" font-size="{size}" fill="{color}" '
            f'text-anchor="{anchor}"{weight}>{escape(words)}</text>'
        )

    def box(
        self, x: float, y: float, width: float, height: float, fill: str, edge: str = "none"
    ) -> None:
        """A rectangle with round corners."""
        self._shapes.append(
            f'<rect x="{x:g}" y="{y:g}" width="{width:g}" height="{height:g}" rx="5" '
            f'fill="{fill}" stroke="{edge}"/>'
        )

    def line(
        self,
        *points: tuple[float, float],
        color: str = SOFT,
        width: float = 1.5,
        dashed: bool = False,
        arrow: bool = False,
    ) -> None:
        """A line through points, with an arrow at its end if asked."""
        path = " ".join(f"{x:g},{y:g}" for x, y in points)
        extra = ' stroke-dasharray="4 4"' if dashed else ""
        extra += ' marker-end="url(#tip)"' if arrow else ""
        self._shapes.append(
            f'<polyline points="{path}" fill="none" stroke="{color}" '
            f'stroke-width="{width:g}"{extra}/>'
        )

    def dot(self, x: float, y: float, color: str, radius: float = 5) -> None:
        """A filled circle."""
        self._shapes.append(f'<circle cx="{x:g}" cy="{y:g}" r="{radius:g}" fill="{color}"/>')

    def done(self) -> str:
        """The file's text."""
        return self._head + "\n".join(self._shapes) + "\n</svg>\n"
