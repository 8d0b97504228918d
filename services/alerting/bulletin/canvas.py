"""What both pictures share: a figure without global state, its labels, its stamp, its bytes.

Matplotlib is loaded by the first picture. Senders draw in several threads, and Matplotlib's font
cache is not made for that, so one picture is drawn at a time.
"""

from __future__ import annotations

from collections.abc import Sequence
from io import BytesIO
from threading import Lock
from typing import Any, Final, NamedTuple

import numpy as np

from services.alerting.bulletin.colours import FAINT, INK
from services.alerting.bulletin.headline import banner_kinds
from services.alerting.bulletin.language import Language
from services.alerting.message import Message

MAX_PNG_BYTES: Final = 150_000
ONE_AT_A_TIME: Final = Lock()
_DPI: Final = 150
_WIDTH_IN: Final = 6.4


class Labels(NamedTuple):
    """The few words of a picture, in letters that every machine's fonts hold."""

    language: Language
    name: str
    stamps: tuple[str, ...]

    def say(self, key: str) -> str:
        """The label `key`."""
        return self.language.say(f"labels.{key}")


def labels_of(message: Message, language: Language, track: str = "") -> Labels:
    """Labels of the pictures of `message`: what they show, and that it is not meant if so."""
    stamps = tuple(language.say(f"labels.{kind}") for kind in banner_kinds(message))
    named = (message.site, message.unit.replace("*", ""), track)
    name = " / ".join(plain for part in named if (plain := _ascii(part)))
    return Labels(language, name, stamps)


def blank(height_in: float) -> Any:
    """A figure of the pictures' width that no pyplot knows."""
    from matplotlib.figure import Figure

    return Figure(figsize=(_WIDTH_IN, height_in), dpi=_DPI, layout="constrained")


def tidy(axes: Any) -> None:
    """Quiet axes: faint frame, small figures."""
    axes.tick_params(labelsize=7.5, color=FAINT, labelcolor=INK)
    for spine in axes.spines.values():
        spine.set_color(FAINT)


def png(figure: Any, labels: Labels) -> bytes:
    """The figure's bytes, the same for the same figure, with stamps across it."""
    figure.suptitle(labels.name, x=0.01, ha="left", fontsize=8, color=INK, parse_math=False)
    _stamp(figure, labels.stamps)
    return _small(_drawn(figure))


def _stamp(figure: Any, stamps: Sequence[str]) -> None:
    for place, stamp in enumerate(stamps):
        height = 0.5 - 0.3 * (place - (len(stamps) - 1) / 2)
        figure.text(
            *(0.5, height, stamp),
            ha="center",
            va="center",
            rotation=20,
            fontsize=46,
            fontweight="bold",
            color=INK,
            alpha=0.22,
            zorder=10,
        )


def _drawn(figure: Any) -> Any:
    """The figure as an image; it is drawn once, which saving it as PNG would not do."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from PIL import Image

    canvas: Any = FigureCanvasAgg(figure)
    canvas.draw()
    return Image.fromarray(np.asarray(canvas.buffer_rgba())[..., :3])


def _small(image: Any) -> bytes:
    """As PNG with 128 colours in place of millions: a third of the bytes, and nobody sees it."""
    content = BytesIO()
    image.quantize(128, dither=0).save(content, format="PNG")
    return content.getvalue()


def _ascii(text: str) -> str:
    return "".join(c for c in text if " " < c <= "~")[:40]
