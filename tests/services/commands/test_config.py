"""Every setting is looked at, by itself and with the others; secrets are never printed."""

import copy

import pytest
import yaml

from core import plugins
from core.errors import SettingsError
from core.settings import Endpoints, Service, Smtp, load_site, parse_site
from services.alerting.notifier import NOTIFIERS
from services.commands import config

SITE = {
    "name": "hill",
    "area": [7.0, 46.0, 7.1, 46.1],
    "watched_from": "2024-01-01",
    "reference": {"box": [7.0, 46.0, 7.01, 46.01]},
    "slope_units": [
        {
            "id": "u1",
            "polygon": [[7.05, 46.05], [7.06, 46.05], [7.06, 46.06]],
            "slope_deg": 30,
            "aspect_deg": 90,
        }
    ],
    "feeds": [{"kind": "asf"}, {"kind": "gsod", "station": "01001099999"}],
    "sources": [{"kind": "table", "where": "https://example.org/t.csv", "track": "A1"}],
    "rules": [{"kind": "velocity"}, {"kind": "cusum"}],
    "recipients": [{"id": "duty", "notifier": {"kind": "email", "to": ["${DUTY_MAIL}"]}}],
}


@pytest.fixture
def service(tmp_path, monkeypatch):
    monkeypatch.setenv("DUTY_MAIL", "duty@example.org")
    (tmp_path / "sites").mkdir()
    return Service(data=tmp_path / "var", sites=tmp_path / "sites").resolved()


@pytest.fixture
def checked(service):
    def checked(change=None, name="hill", service=service):
        tree = copy.deepcopy(SITE)
        if change is not None:
            change(tree)
        (service.sites / f"{name}.yaml").write_text(yaml.safe_dump(tree))
        lines = []
        well = config.check(service, lines.append)
        assert all("\n" not in line for line in lines)
        assert well != any(line.startswith("error") for line in lines)
        return lines

    return checked


def unit(tree, **changes):
    tree["slope_units"][0].update(changes)


def put(section, **given):
    return lambda tree: tree[section].append(given)


def test_good_settings_are_said_to_be_well(checked):
    *lines, last = checked()
    assert len(lines) == 2
    assert all(line.startswith("ok ") for line in lines)
    assert last == "0 error(s), 0 warning(s)"


@pytest.mark.parametrize(
    ("change", "status", "said"),
    [
        (lambda t: t.update(colour="red"), "error", "colour"),
        (lambda t: t.update(slope_units="absent.json"), "error", "absent.json"),
        (lambda t: t.update(reference={"box": [8, 46, 8.1, 46.1]}), "error", "outside the area"),
        (lambda t: t.update(reference={"box": [46, 7, 46.1, 7.1]}), "error", "outside the area"),
        (lambda t: t.update(reference={"box": [7.1, 46, 7, 46.1]}), "error", "west, south"),
        (lambda t: t.update(reference={"box": [6.9, 46, 7.01, 46.01]}), "warning", "cut off"),
        (lambda t: t.update(reference={"box": [7, 46, 7.09, 46.09]}), "error", "unit u1"),
        (lambda t: t.update(reference={"scene_median": True}), "warning", "firm ground"),
        (lambda t: unit(t, polygon=[[46, 7], [46.1, 7], [46, 7.1]]), "error", "swapped"),
        (lambda t: unit(t, polygon=[[7, 46.05], [7.2, 46.05], [7, 46.06]]), "warning", "reaches"),
        (
            lambda t: unit(t, polygon=[[7, 46], [7.1, 46.1], [7.1, 46], [7, 46.1]]),
            "error",
            "crosses",
        ),
        (lambda t: unit(t, aspect_deg=None), "warning", "does not vote on u1"),
        (lambda t: t.update(rules=[]) or unit(t, slope_deg=None), "warning", "does not vote on u1"),
        (put("feeds", kind="nosuch"), "error", "feeds, 3: no feeds named 'nosuch'"),
        (put("feeds", kind="gsod", station="1"), "error", "station"),
        (put("feeds", kind="asf", bursts=["1_2_IW3"]), "error", "has no bursts"),
        (put("feeds", kind="asf"), "warning", "same as one above"),
        (put("feeds", kind="asf", product="BURST", token_env="NO_TOKEN"), "warning", "NO_TOKEN"),
        (put("sources", kind="mintpy", folder="/none", track="A1"), "error", "have track A1"),
        (put("sources", kind="mintpy", folder="/none", track="D2"), "warning", "no folder /none"),
        (put("sources", kind="mintpy", track="D2"), "error", "folder"),
        (lambda t: t.update(sources=[]), "warning", "blind"),
        (lambda t: t.update(model={"kind": "oracle"}), "error", "no models named 'oracle'"),
        (lambda t: t["rules"][0].update(probability=2), "error", "probability"),
        (lambda t: t["rules"][0].update(direction="away"), "warning", "direction counts only"),
        (lambda t: t.update(recipients=[]), "warning", "nobody is told"),
        (lambda t: t["recipients"][0].update(from_level="red"), "warning", "red only"),
        (lambda t: t["recipients"][0]["notifier"].update(to=["duty"]), "error", "entry 1"),
        (lambda t: t["recipients"][0]["notifier"].update(to=["${NONE_SUCH}"]), "warning", "NONE_S"),
        (lambda t: t.pop("watched_from"), "warning", "watched_from"),
        (lambda t: t.update(history_from="2025-01-01"), "error", "earlier"),
    ],
)
def test_what_is_wrong_is_one_line(checked, change, status, said):
    lines = checked(change)
    told = [line for line in lines if said in line]
    assert len(told) == 1, lines
    assert told[0].startswith(status)
    assert "hill.yaml" in told[0]


def test_a_webhook_needs_its_secret(checked, monkeypatch, tmp_path):
    hook = {"kind": "webhook", "url": "https://example.org/x"}
    change = put("recipients", id="hook", notifier=hook)
    assert any("SLOPEWATCH_WEBHOOK_SECRET" in line for line in checked(change))
    monkeypatch.setenv("SLOPEWATCH_WEBHOOK_SECRET_FILE", str(tmp_path / "absent"))
    assert any("cannot be read" in line for line in checked(change))
    (tmp_path / "absent").write_text("quiet")
    assert checked(change)[-1] == "0 error(s), 0 warning(s)"


def test_files_that_do_not_fit_together(checked, service):
    (service.sites / "old.yml").write_text("name: old")
    lines = checked(name="mount")
    assert any("mount.yaml" in line and line.startswith("warning") for line in lines)
    assert any("rename it to .yaml" in line for line in lines)
    lines = checked()
    assert sum("another file's name" in line for line in lines) == 2


def test_the_service_itself(service):
    wrong = service.model_copy(
        update={
            "log": "mysql://x",
            "state": "memory://",
            "endpoints": Endpoints(cmr="cmr.example.org"),
            "smtp": Smtp(sender="nobody", user="me"),
        }
    )
    lines = []
    assert not config.check(wrong, lines.append)
    fields = ("log", "state", "endpoints.cmr", "smtp.sender", "smtp.password_env", "sites")
    for field in fields:
        assert sum(f"service  {field}: " in line for line in lines) == 1, field


def test_show_can_be_loaded_again(checked, service):
    checked()
    shown = yaml.safe_load(config.show(service, "hill"))
    site = load_site(service.sites / "hill.yaml")
    assert parse_site(shown).slope_units == site.slope_units
    assert shown["feeds"][0]["product"] == "SLC"
    assert shown["rules"][0]["probability"] == 0.95
    assert "# " in config.show(service, "hill")
    assert Service.model_validate(yaml.safe_load(config.show(service, None))) == service


def test_show_hides_what_is_secret(checked, service, monkeypatch):
    monkeypatch.setenv("SLOPEWATCH_WEBHOOK_SECRET", "hunter2")
    hook = {"kind": "webhook", "url": "https://example.org/hunter2"}
    assert plugins.settings(NOTIFIERS, hook)

    def change(tree):
        tree["recipients"].append({"id": "hook", "notifier": hook})
        table = {"kind": "table", "quantity": "rain", "station": "s", "unit": "mm"}
        table |= {"date_column": "d", "value_column": "v"}
        table["at"] = "https://me:hunter2@example.org/t?since={since}&key=hunter2&to={until}"
        tree["feeds"].append(table)

    checked(change)
    shown = config.show(service, "hill")
    assert "hunter2" not in shown
    assert "https://***@example.org/t?since={since}&key=***&to={until}" in shown
    assert "secret_env: SLOPEWATCH_WEBHOOK_SECRET" in shown
    server = service.model_copy(update={"ledger": "postgresql://me:hunter2@db/ledger"})
    assert "postgresql://***@db/ledger" in config.show(server, None)


def test_show_of_what_is_not_there_or_wrong(checked, service):
    (service.sites / "broken.yaml").write_text("name: [")
    checked()
    assert config.show(service, "hill")
    with pytest.raises(SettingsError, match="site new"):
        config.show(service, "dale")
    with pytest.raises(SettingsError, match="not valid YAML"):
        config.show(service, "broken")
