"""The page: what it says first, what it admits, and that nothing in it needs the network."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from html import escape
from pathlib import Path

import numpy as np
import pytest

from core.errors import BadInputError
from services.commands.understanding import understand_site
from services.understanding.figures import lag_figure, pictures, rhythm_figure, share_figure
from services.understanding.page import page
from services.understanding.reading import Reading, read
from services.understanding.words import LIMITS, independence_sentences, sentences
from tests.services.understanding.simple_slope import DAYS, SimpleSlope

PNG = b"\x89PNG"


def test_sentences_name_ridge_and_toe_with_intervals(slope_reading: Reading) -> None:
    said = sentences(slope_reading)
    assert (slope_reading.ridge, slope_reading.toe) == (0, 2)
    assert said[0].startswith("The ridge (ridge <b>) follows rain after about ")
    assert "80 % interval" in said[0]
    assert said[1].startswith("The toe (toe) follows the fall of the reservoir after about ")
    assert any(line.startswith("Of the motion beyond the usual season") for line in said)
    assert any(line.startswith("Variance inflation") for line in said)


def test_a_weak_link_gets_no_lag(slope_reading: Reading) -> None:
    weak = slope_reading.lags.rain._replace(correlation=np.zeros(3))
    said = sentences(replace(slope_reading, lags=slope_reading.lags._replace(rain=weak)))
    assert "too weakly" in said[0]
    far = slope_reading.lags.rain._replace(lag_d=np.full(3, 60.0))
    said = sentences(replace(slope_reading, lags=slope_reading.lags._replace(rain=far)))
    assert said[0].endswith("follows rain after 60 days or more.")


def test_shares_mean_little_where_drivers_are_alike(slope_reading: Reading) -> None:
    alike = replace(slope_reading, inflation=np.full((3, 1), 9.0))
    assert "hardly told apart" in sentences(alike)[-1]


def test_both_tests_are_counted(slope_reading: Reading) -> None:
    said = independence_sentences(slope_reading)
    assert [line.split(":")[0] for line in said] == ["rain", "level"]
    assert all("of 3 series dependent at 5 %" in line for line in said)


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("lag_figure", "share_figure", "rhythm_figure"):
        monkeypatch.setattr(f"services.understanding.figures.{name}", lambda *_, **__: PNG)


@pytest.mark.usefixtures("drawn")
def test_the_page_stands_alone_says_simulated_and_escapes_names(slope_reading: Reading) -> None:
    text = page(slope_reading, "A & B", pictures(slope_reading), simulated=True, dated=False)
    assert "Simulated data: no real slope." in text
    assert f"as known at the end of day {DAYS - 1}" in text
    assert "What moves A &amp; B" in text
    assert "ridge &lt;b&gt;" in text
    assert "<b>" not in text
    assert text.count("data:image/png;base64,") == 4
    assert "http" not in text
    for limit in LIMITS:
        assert escape(limit) in text
    real = page(slope_reading, "A", pictures(slope_reading), simulated=False)
    assert "Simulated" not in real
    assert "as known at the end of 1975-" in real


def test_pictures_are_drawn_along_the_slope_and_as_maps(slope_reading: Reading) -> None:
    lon, lat = 110.4 + np.array([0.0, 0.001, 0.002]), 31.0 + np.array([0.0, 0.001, 0.002])
    pictures = [
        lag_figure(slope_reading),
        lag_figure(slope_reading, lon, lat),
        share_figure(slope_reading, lon, lat),
        rhythm_figure(slope_reading.rhythms[0], "ridge"),
    ]
    assert all(picture.startswith(PNG) for picture in pictures)
    assert len(set(pictures)) == 4


@pytest.mark.usefixtures("drawn")
def test_the_command_writes_page_and_pictures(
    slope: SimpleSlope, slope_reading: Reading, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.commands.understanding.read", lambda *_, **__: slope_reading)
    said: list[str] = []
    out = tmp_path / "new" / "folder"
    written = understand_site(slope, DAYS - 1, "Site", out, said.append, simulated=True)
    assert written == out / "understanding.html"
    assert {file.name for file in out.iterdir()} == {
        "understanding.html",
        "lags.png",
        "shares.png",
        "coherence-rain.png",
        "coherence-drawdown.png",
    }
    assert said[-1] == f"page of Site: {written}"
    assert any(line.startswith("Limits: ") for line in said)


def test_rhythms_are_read_at_the_right_edge_only_where_safe(slope_reading: Reading) -> None:
    for rhythm in slope_reading.rhythms:
        safe = rhythm.coherence.safe
        for row in range(len(safe)):
            newest = rhythm.end_day[np.flatnonzero(safe[row])[-1]]
            assert rhythm.newest_day[row] == newest
        assert (np.diff(rhythm.newest_day) <= 0).all()
        assert rhythm.coherence.period_d[0] == 36.0


def test_the_ridge_moves_with_rain_at_a_year(slope_reading: Reading) -> None:
    rain, fall = slope_reading.rhythms
    assert (rain.driver, fall.driver) == ("rain", "drawdown")
    row = np.abs(rain.lag.period_d - 365).argmin()
    assert rain.coherence.whole[row] > 0.8
    assert 0 < rain.lag.lag_d[row] < 40


def test_a_slope_that_stands_still_is_refused_with_a_reason() -> None:
    with pytest.raises(BadInputError, match="too little to tell"):
        read(SimpleSlope(slow=0.01), DAYS - 1, surrogates=20)


def test_neither_torch_nor_matplotlib_is_loaded_at_import() -> None:
    code = (
        "import sys, services.commands.understanding, services.understanding.page, "
        "services.understanding.gradients; "
        "print([m for m in ('torch', 'matplotlib', 'core.twin') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
