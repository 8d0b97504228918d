"""What moves a site, and how late: lags, shares of the drivers, rhythms, as one page."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from core.evidence import Floats
from services.inference.known import History
from services.understanding.reading import read
from services.understanding.rhythm import SURROGATES
from services.understanding.words import LIMITS, independence_sentences, sentences

Echo = Callable[[str], None]


def understand_site(
    history: History,
    day: int,
    title: str,
    out: Path,
    echo: Echo,
    *,
    names: Sequence[str] | None = None,
    position: tuple[Floats, Floats] | None = None,
    simulated: bool = False,
    surrogates: int = SURROGATES,
) -> Path:
    """Read a record as known at the end of `day` and write its page and pictures into `out`.

    Args:
        history: the record of one site.
        day: as known at its end.
        title: of the site.
        out: folder, made where it is missing; gets `understanding.html` and four PNG files.
        echo: takes the sentences.
        names: of the series; their numbers without it.
        position: longitude and latitude (S,) of the series, for maps.
        simulated: whether the data are simulated.
        surrogates: for the significance of coherence.

    Returns:
        Path of the page.

    Raises:
        BadInputError: drivers are missing, or no series can be read.
    """
    from services.understanding.figures import lag_figure, rhythm_figure, share_figure
    from services.understanding.page import page

    reading = read(history, day, names, surrogates=surrogates)
    for line in [*sentences(reading), *independence_sentences(reading)]:
        echo(line)
    echo("Limits: " + " ".join(LIMITS))
    lon, lat = position or (None, None)
    out.mkdir(parents=True, exist_ok=True)
    (out / "lags.png").write_bytes(lag_figure(reading, lon, lat))
    (out / "shares.png").write_bytes(share_figure(reading, lon, lat))
    for rhythm in reading.rhythms:
        name = reading.names[rhythm.series]
        picture = rhythm_figure(rhythm, name, simulated=simulated)
        (out / f"coherence-{rhythm.driver}.png").write_bytes(picture)
    written = out / "understanding.html"
    text = page(reading, title, simulated=simulated, lon=lon, lat=lat)
    written.write_text(text, encoding="utf-8")
    echo(f"page of {title}: {written}")
    return written
