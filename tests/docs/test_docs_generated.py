"""The generated pages are those the code makes now, and what they list is all there is."""

import inspect
import re
from pathlib import Path

import numpy as np
import pytest

from core import asyncapi, plugins, settings
from core.eventlog._settings import LogSettings
from core.evidence import Evidence
from core.intake import LARGEST_COMMIT_BYTES
from core.lexicon import BY_NAME
from core.outlet import DEAD_LETTER_CODES
from core.parking import LONGEST_BACKOFF
from core.settings import Service
from core.telemetry import METRICS, Telemetry
from core.topics import topic_specs
from core.worker import LONGEST_GAP
from services import reference
from services.alerting.rule import RULES
from services.alerting.sender import Retry
from services.alerting.thresholds import Limits, ThresholdTable
from services.inference.track import FIGURES
from services.ingest.feed import REJECTION_CODES
from services.ingest.window import LOOK_BACK, OVERLAP

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"


@pytest.mark.parametrize("name", reference.pages())
def test_the_page_is_the_one_made_from_the_code(name):
    text = (DOCS / name).read_text(encoding="utf-8")
    assert text == reference.pages()[name], "run: python -m services.reference"


def test_one_command_writes_them_all(tmp_path):
    written = {path.name for path in reference.write(tmp_path)}
    assert written == {*reference.pages(), "asyncapi.yaml", "events.md"}


def test_metrics_page_table_and_registry_name_the_same():
    documented = set(re.findall(r"^\| `(slopewatch_\w+)`", (DOCS / "metrics.md").read_text(), re.M))
    assert documented == {metric.name for metric in METRICS}
    telemetry = Telemetry()
    telemetry.watched(0.0, 0)
    served = {family.name for family in telemetry.registry.collect()}
    assert served == {name.removesuffix("_total") for name in documented}


def test_settings_page_names_every_plug_in_and_field():
    text = (DOCS / "settings.md").read_text(encoding="utf-8")
    for package, _ in reference.PLUGINS.values():
        for name in plugins.names(package):
            section = text.split(f"\n### {name}\n", maxsplit=1)[1]
            for field in plugins.load(package, name).Settings.model_fields:
                assert f"| `{field}` |" in section, (name, field)


def test_every_setting_says_what_it_means():
    trees = [value for value in vars(settings).values() if inspect.isclass(value)]
    schemas = [t.model_json_schema() for t in trees if issubclass(t, settings.Tree)]
    for package, _ in reference.PLUGINS.values():
        for name in plugins.names(package):
            schemas.append(plugins.load(package, name).Settings.model_json_schema())
    for schema in schemas:
        for part in (schema, *schema.get("$defs", {}).values()):
            for field, said in part.get("properties", {}).items():
                assert said.get("description"), (part["title"], field)


def test_every_setting_is_read_somewhere():
    code = "\n".join(
        path.read_text(encoding="utf-8")
        for folder in ("core", "services")
        for path in (ROOT / folder).rglob("*.py")
    )
    trees = [value for value in vars(settings).values() if inspect.isclass(value)]
    named = {f for t in trees if issubclass(t, settings.Tree) for f in t.model_fields}
    unread = {field for field in named if not re.search(rf"\.{field}\b", code)}
    assert not unread


def test_every_metric_is_set_somewhere():
    code = "\n".join(
        path.read_text(encoding="utf-8")
        for folder in ("core", "services")
        for path in (ROOT / folder).rglob("*.py")
    )
    kept = {n for n in vars(Telemetry()) if n != "registry" and not n.startswith("_")}
    assert len(kept) == len(METRICS)
    unset = {n for n in kept if not re.search(rf"\b{n}\s*\.(labels|set)\(|\.{n}, ", code)}
    assert not unset


def test_the_example_site_is_accepted_by_its_plug_ins():
    site = reference._example()
    packages = {heading: package for heading, (package, _) in reference.PLUGINS.items()}
    named = {
        "Feeds": site.feeds,
        "Sources": site.sources,
        "Models": (site.model,) if site.model else (),
        "Rules": site.rules,
        "Notifiers": tuple(recipient.notifier for recipient in site.recipients),
    }
    for heading, given in named.items():
        for plugin in given:
            plugins.settings(packages[heading], plugin.model_dump())


def test_every_reason_in_the_code_has_its_row_and_its_page():
    page = (DOCS / "rejections.md").read_text(encoding="utf-8")
    known = {**REJECTION_CODES, **DEAD_LETTER_CODES}
    assert set(re.findall(r"^\| `([RD]\d\d)`", page, re.M)) == set(known)
    used = {
        code
        for folder in ("core", "services")
        for path in (ROOT / folder).rglob("*.py")
        for code in re.findall(r"\"([RD]\d\d)\"", path.read_text(encoding="utf-8"))
    }
    assert used == set(known)


def test_history_of_a_track_is_named_in_the_lexicon():
    assert set(FIGURES) <= set(BY_NAME)


def test_figures_of_votes_are_named_in_the_lexicon():
    epochs = 40
    series = np.ones((epochs, 1))
    arrays = {name: series for name in Evidence.__dataclass_fields__ if name != "units"}
    arrays |= {
        "epoch_day": np.arange(epochs) * 12,
        "velocity_sd_mm_d": series / 10,
        "out_of_range": np.zeros((epochs, 1), bool),
        "los_factor": np.array([0.5]),
        "driver_day": np.arange(epochs * 12),
        "rain_mm": np.ones(epochs * 12),
        "level_m": 160 + np.arange(epochs * 12) * 0.3,
        "point_unit": np.zeros(4, np.int64),
        "point_lon": np.zeros(4),
        "point_lat": np.zeros(4),
        "point_velocity_mm_d": np.ones((3, 4)),
        "point_velocity_sd_mm_d": np.ones((3, 4)) / 10,
    }
    evidence = Evidence(units=("a",), **arrays)
    named = plugins.names(RULES)
    table = ThresholdTable("test", dict.fromkeys(named, Limits(0.1, 500, 5000)))
    told: set[str] = set()
    for name in named:
        module = plugins.load(RULES, name)
        votes = module.open(module.Settings(), table).vote(evidence, "t1")
        assert {figure for vote in votes for figure in vote.figures} <= set(BY_NAME), name
        told |= {name} if any(vote.figures for vote in votes) else set()
    assert len(told) >= 8, told


def test_topics_that_are_made_are_the_channels():
    made = {spec.name: spec for spec in topic_specs(Service())}
    assert set(made) == {channel.topic for channel in asyncapi.CHANNELS}
    assert all(spec.retention is None for spec in made.values()), "docs/streams.md: kept for ever"


def test_figures_in_the_promises_are_those_of_the_code():
    text = " ".join((DOCS / "streams.md").read_text(encoding="utf-8").split())
    retry = Retry()
    for said in (
        f"topics of {Service().topics.partitions} partitions",
        f"than its lease ({LogSettings('', '').lease_s:g} s)",
        f"may weigh {LogSettings('', '').max_record_bytes >> 20} MiB",
        f"pass {LARGEST_COMMIT_BYTES >> 10} KiB",
        f"up to {LONGEST_BACKOFF.seconds // 60} minutes",
        f"tried again after {Service().backoff_s:g} s",
        f"goes back {OVERLAP.days} days before it",
        f"asked for {LOOK_BACK.days} days before it",
        f"older than {LOOK_BACK.days} days",
        f"After {LONGEST_GAP.seconds // 60} minutes of waiting",
        f"after {retry.max_age.total_seconds() / 3600:g} h from the first try",
        f"or {retry.max_attempts} tries",
        f"from {retry.first.seconds} s to {retry.longest.seconds // 60} minutes",
        f"has come for {Service().watchdog_hours:g} h of real time",
    ):
        assert said in text, said
