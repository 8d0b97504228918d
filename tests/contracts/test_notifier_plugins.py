"""What every notifier plug-in promises; a new file in the folder is found by itself."""

from __future__ import annotations

import inspect
import os
import re
import socket
from datetime import UTC, date, datetime
from types import ModuleType
from typing import Any

import pytest

from core import plugins
from core.errors import SettingsError
from core.settings import Plugin, Recipient, Service, Site, Smtp, Tree
from services.alerting.message import Message
from services.alerting.notifier import (
    NOTIFIERS,
    DeliveryError,
    Notifier,
    RecipientGoneError,
    Recipients,
    open_notifier,
)

SECRET = "not-to-be-shown@example.org"
URL = "json://user:not-to-be-shown@example.org/not-to-be-shown"
"""What a variable holds that is named for an address."""
NAMES = plugins.names(NOTIFIERS)

MESSAGE = Message(
    id="ab" * 16,
    kind="level",
    site="a",
    title="A",
    unit="u",
    unit_name="U",
    level="red",
    previous_level="blue",
    coverage="watched",
    previous_coverage="watched",
    coverage_reason="",
    reason="fast",
    votes=(),
    arose=date(2026, 3, 1),
    known_since=datetime(2026, 3, 1, 6, tzinfo=UTC),
    late_days=0,
    next_pass=None,
    simulated=True,
    ledger_head="c" * 64,
    seq=1,
)


# Apprise imports it where Python still has it.
pytestmark = pytest.mark.filterwarnings("ignore:'imghdr' is deprecated:DeprecationWarning")


@pytest.fixture(params=NAMES)
def plugin(request: pytest.FixtureRequest) -> ModuleType:
    return plugins.load(NOTIFIERS, request.param)


@pytest.fixture
def example(plugin: ModuleType, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """The plug-in's example with every variable and secret that it names."""
    for name in os.environ:
        if name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("SLOPEWATCH_SMTP_PASSWORD", SECRET)
    for name, value in plugin.EXAMPLE.items():
        if name.endswith("_env"):
            monkeypatch.setenv(value, URL if name.startswith("url") else SECRET)
    for variable in re.findall(r"\$\{(\w+)\}", str(plugin.EXAMPLE)):
        monkeypatch.setenv(variable, SECRET)
    return dict(plugin.EXAMPLE)


def opened(plugin: ModuleType, example: dict[str, Any]) -> Notifier:
    kind = plugin.__name__.rpartition(".")[2]
    smtp = Smtp(host="mail.example.org", user="scott", timeout_s=1.0)
    return open_notifier(Plugin(kind=kind, **example), Service(smtp=smtp))


def test_there_are_some() -> None:
    assert {"apprise", "cap", "email", "webhook"} <= set(NAMES)


def test_it_says_what_it_is(plugin: ModuleType) -> None:
    assert plugin.__doc__
    assert len(plugin.__doc__.splitlines()) > 2
    assert issubclass(plugin.Settings, Tree)
    wanted = inspect.signature(plugin.open).parameters
    assert list(wanted) == ["settings", "service", "language"]
    assert wanted["language"].default == "en"


def test_every_setting_is_described(plugin: ModuleType) -> None:
    assert all(field.description for field in plugin.Settings.model_fields.values())


def test_unknown_setting_is_an_error(plugin: ModuleType, example: dict[str, Any]) -> None:
    with pytest.raises(SettingsError, match="surprise"):
        opened(plugin, {**example, "surprise": 1})


def test_channel_is_the_file_name(plugin: ModuleType, example: dict[str, Any]) -> None:
    assert opened(plugin, example).channel == plugin.__name__.rpartition(".")[2]


def test_nothing_shown_holds_a_secret(plugin: ModuleType, example: dict[str, Any]) -> None:
    shown = repr(opened(plugin, example)) + repr(plugin.Settings(**example))
    assert "not-to-be-shown" not in shown


def test_missing_variable_is_named(
    plugin: ModuleType, example: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    needed = [value for name, value in example.items() if name.endswith("_env")]
    needed += re.findall(r"\$\{(\w+)\}", str(example))
    for variable in needed:
        with monkeypatch.context() as without:
            without.delenv(variable)
            with pytest.raises(SettingsError, match=variable):
                opened(plugin, example)


@pytest.mark.parametrize("fault", [ConnectionRefusedError(111, SECRET), TimeoutError(SECRET)])
def test_dead_network_may_be_tried_again(
    plugin: ModuleType,
    example: dict[str, Any],
    fault: OSError,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def connect(*_: object) -> None:
        raise fault

    address = (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("93.184.215.14", 9))
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: [address])
    monkeypatch.setattr(socket.socket, "connect", connect)
    with pytest.raises(DeliveryError) as caught:
        opened(plugin, example).send(MESSAGE, MESSAGE.id)
    assert caught.value.retryable
    assert "not-to-be-shown" not in str(caught.value)


def test_it_is_opened_in_the_language_of_the_recipient(
    plugin: ModuleType, example: dict[str, Any]
) -> None:
    kind = plugin.__name__.rpartition(".")[2]
    notifier = Plugin(kind=kind, **example)
    sites = {"a": _site(notifier, language="es")}
    recipients = Recipients(sites.get, Service())
    spanish = recipients("a", "duty")
    assert recipients("a", "duty") is spanish
    sites["a"] = _site(notifier, language="zh")
    assert recipients("a", "duty") is not spanish
    sites["a"] = _site(notifier, language="xx")
    with pytest.raises(SettingsError, match="xx"):
        recipients("a", "duty")


def test_settings_in_force_decide(plugin: ModuleType, example: dict[str, Any]) -> None:
    kind = plugin.__name__.rpartition(".")[2]
    sites = {"a": _site(Plugin(kind=kind, **example))}
    recipients = Recipients(sites.get, Service())
    first = recipients("a", "duty")
    assert recipients("a", "duty") is first
    sites["a"] = _site(Plugin(kind=kind, **example))
    assert recipients("a", "duty") is first
    sites["a"] = _site(Plugin(kind=kind, **example, surprise=1))
    with pytest.raises(SettingsError, match="a, recipient duty, notifier"):
        recipients("a", "duty")
    for site, recipient in (("a", "gone"), ("b", "duty")):
        with pytest.raises(RecipientGoneError, match="no recipient"):
            recipients(site, recipient)


def _site(notifier: Plugin, language: str = "en") -> Site:
    return Site.model_validate(
        {
            "name": "a",
            "area": (110.0, 30.0, 111.0, 31.0),
            "reference": {"scene_median": True},
            "slope_units": [{"id": "u", "polygon": [(110, 30), (111, 30), (111, 31)]}],
            "recipients": [Recipient(id="duty", notifier=notifier, language=language)],
        }
    )
