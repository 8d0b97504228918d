"""The notifier cap: what it writes, what it refuses, and what its settings allow."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from cap_messages import ALERT, ALL_CLEAR, RISE, SITE, UPDATE, message, notifier, site_file
from msgspec.structs import replace

from core.artifacts import reference
from core.errors import SettingsError
from core.settings import Plugin, Service
from services.alerting.cap import check
from services.alerting.notifier import DeliveryError, Receipt, open_notifier
from services.alerting.notifiers import cap
from services.commands.capping import check_files


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "cap"
    path.mkdir()
    return path


def files(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.glob("*.xml"))


def test_a_case_from_rise_to_all_clear(folder: Path) -> None:
    opened, ref = notifier(folder), site_file(folder)
    for kind, told in (("Alert", RISE), ("Update", UPDATE), ("Cancel", ALL_CLEAR)):
        name = f"{ALERT}.{told.seq}"
        one = replace(told, site_file=ref)
        assert opened.send(one, one.id) == Receipt(f"{kind} {name} published")
        assert opened.send(one, one.id) == Receipt(f"{kind} {name} was published already")
        content = (folder / f"{name}.xml").read_bytes()
        assert b"<polygon>30.95,110.41 " in content
        assert check(content) == []
    assert len(files(folder)) == 4


@pytest.mark.parametrize("kind", ["coverage", "level", "cancelled"])
def test_what_is_not_for_cap_is_a_receipt_that_says_why(folder: Path, kind: Any) -> None:
    one = message(kind=kind, level="blue", previous_level="blue", coverage="blind")
    assert notifier(folder).send(one, one.id).answer.startswith("not published: ")
    assert files(folder) == []


@pytest.mark.parametrize(
    "changes",
    [
        {"kind": "review", "under_review": "red", "level": "orange"},
        {"kind": "pipeline", "level": None, "previous_level": None, "unit": "*"},
    ],
)
def test_what_asks_for_a_person_is_an_error(folder: Path, changes: dict[str, Any]) -> None:
    with pytest.raises(DeliveryError, match="a recipient who is a person") as caught:
        notifier(folder).send(message(**changes), "k")
    assert not caught.value.retryable
    assert files(folder) == []


def test_a_folder_that_is_away_may_come_back(folder: Path) -> None:
    folder.rmdir()
    with pytest.raises(DeliveryError, match="make it, mount it") as caught:
        notifier(folder).send(RISE, RISE.id)
    assert caught.value.retryable


def test_a_clash_is_for_somebody_to_mend(folder: Path) -> None:
    notifier(folder).send(RISE, RISE.id)
    with pytest.raises(DeliveryError, match="folder of its own") as caught:
        notifier(folder, languages=("es",)).send(RISE, RISE.id)
    assert not caught.value.retryable


def test_a_site_file_that_is_away_is_tried_again(folder: Path) -> None:
    with pytest.raises(DeliveryError, match="out of reach") as caught:
        notifier(folder).send(replace(RISE, site_file=reference(b"no such")), "k")
    assert caught.value.retryable
    nowhere = open_notifier(Plugin(kind="cap", **cap.EXAMPLE), Service())
    with pytest.raises(SettingsError, match="artifacts"):
        nowhere.send(replace(RISE, site_file=reference(b"no such")), "k")


def test_what_would_be_no_valid_cap_is_not_published(folder: Path) -> None:
    unit = SITE.slope_units[0].model_copy(update={"polygon": ((200, 30), (201, 30), (200, 31))})
    site = SITE.model_copy(update={"slope_units": (unit,)})
    with pytest.raises(DeliveryError, match="longitude within 180 degrees; mend") as caught:
        notifier(folder).send(replace(RISE, site_file=site_file(folder, site)), "k")
    assert not caught.value.retryable
    assert files(folder) == []


def test_languages_are_those_set_or_the_recipients(folder: Path) -> None:
    settings = cap.Settings(**{**cap.EXAMPLE, "folder": folder})
    cap.open(settings, Service(), "es").send(RISE, RISE.id)
    assert "<language>es" in (folder / f"{ALERT}.412.xml").read_text()
    both = cap.Settings(**{**cap.EXAMPLE, "folder": folder, "languages": ("zh", "en", "zh")})
    cap.open(both, Service(), "es").send(UPDATE, UPDATE.id)
    text = (folder / f"{ALERT}.430.xml").read_text()
    assert [part[:2] for part in text.split("<language>")[1:]] == ["zh", "en"]
    with pytest.raises(SettingsError, match="no language named 'tlh'"):
        cap.open(cap.Settings(**{**cap.EXAMPLE, "languages": ("tlh",)}), Service())


@pytest.mark.parametrize(
    "wrong",
    [
        {"sender": "two words"},
        {"sender": "a,b"},
        {"sender": "<x>"},
        {"sender": ""},
        {"sender_name": ""},
        {"scope": "Restricted"},
        {"restriction": "police"},
        {"scope": "Private"},
        {"addresses": ("chief",)},
        {"scope": "Private", "addresses": ("a b",)},
        {"web": "www.example.org"},
        {"url": "https://example.org/cap"},
        {"url": "cap/"},
        {"geocodes": {"own": " "}},
        {"newest": 0},
    ],
)
def test_settings_that_could_make_no_valid_message_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(SettingsError, match="cap"):
        open_notifier(Plugin(kind="cap", **{**cap.EXAMPLE, **wrong}), Service())


@pytest.mark.parametrize(
    "right",
    [
        {"scope": "Restricted", "restriction": "police"},
        {"scope": "Private", "addresses": ("chief@example.org", "mayor")},
        {"web": "https://example.org/", "url": "https://example.org/cap/"},
    ],
)
def test_settings_that_are_right_make_valid_messages(folder: Path, right: dict[str, Any]) -> None:
    notifier(folder, **right).send(RISE, RISE.id)
    assert check((folder / f"{ALERT}.412.xml").read_bytes()) == []


def test_files_are_checked_from_the_command_line(folder: Path) -> None:
    notifier(folder).send(RISE, RISE.id)
    good = folder / f"{ALERT}.412.xml"
    said: list[str] = []
    assert check_files([good], said.append)
    assert said == [f"{good}: valid CAP 1.2"]
    bad = folder / "bad.xml"
    bad.write_bytes(good.read_bytes().replace(b"<severity>Extreme", b"<severity>Huge"))
    said.clear()
    assert not check_files([bad, good, folder / "none.xml"], said.append)
    assert said[0] == f"{bad}: refused"
    assert said[1].startswith("  error: line 18, alert/info[1]/severity is 'Huge': it must be one")
    assert said[2] == f"{good}: valid CAP 1.2"
    assert said[4] == "  error: cannot be read: No such file or directory"
