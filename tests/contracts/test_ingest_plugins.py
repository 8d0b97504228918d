"""What every feed and source keeps to; new ones are found by themselves."""

import inspect
from datetime import timedelta
from typing import Any

import pytest
from pydantic.fields import FieldInfo

from core import plugins
from core.errors import SettingsError
from core.settings import Service, Tree
from services.ingest.feed import DATA, FEEDS, SOURCES

EXAMPLES: dict[str, dict[str, Any]] = {
    f"{FEEDS}.gsod": {"station": "01001099999"},
    f"{FEEDS}.usgs": {"site": "09379900"},
    f"{FEEDS}.table": {
        "at": "rain.csv",
        "quantity": "rain",
        "station": "gauge",
        "date_column": "day",
        "value_column": "rain",
        "unit": "mm",
    },
}
"""For plug-ins whose required settings are more than names and folders."""


plugin = pytest.mark.parametrize(
    ("package", "name"),
    [
        pytest.param(package, name, id=f"{package.rpartition('.')[2]}-{name}")
        for package in (FEEDS, SOURCES)
        for name in plugins.names(package)
    ],
)


def test_the_feeds_are_found():
    assert {"asf", "gsod", "table", "usgs"} <= set(plugins.names(FEEDS))


@plugin
def test_it_says_what_it_is(package, name):
    module = plugins.load(package, name)
    assert len((module.__doc__ or "").strip().splitlines()) > 1, "say what it reads and its sources"
    assert (module.open.__doc__ or "").strip()


@plugin
def test_its_settings_are_described(package, name):
    settings = plugins.load(package, name).Settings
    assert issubclass(settings, Tree)
    assert (settings.__doc__ or "").strip()
    assert not [n for n, field in settings.model_fields.items() if not _described(field)]


@plugin
def test_unknown_settings_are_refused(package, name):
    with pytest.raises(SettingsError, match="no_such_setting"):
        plugins.settings(package, {"kind": name, "no_such_setting": 1})


@plugin
def test_it_opens_with_settings_and_service(package, name):
    parameters = list(inspect.signature(plugins.load(package, name).open).parameters)
    assert parameters == ["settings", "service"]


@plugin
def test_it_opens_without_the_network_and_has_a_latency(package, name):
    module = plugins.load(package, name)
    required = {n: "t1" for n, field in module.Settings.model_fields.items() if field.is_required()}
    given = EXAMPLES.get(f"{package}.{name}", required)
    settings = plugins.settings(package, {"kind": name, **given}, "add an example to EXAMPLES:")
    feed = module.open(settings, Service())
    assert feed.name == name
    assert isinstance(feed.latency, timedelta)
    assert feed.latency > timedelta()
    assert callable(feed.poll)
    assert feed.brings
    assert feed.brings <= set(DATA)


def _described(field: FieldInfo) -> bool:
    """By its own description, or by the docstring of the settings tree that it is."""
    tree = field.annotation
    return bool(field.description) or (
        isinstance(tree, type) and issubclass(tree, Tree) and bool(tree.__doc__)
    )
