from __future__ import annotations

import json
import logging
import socket
from typing import Any

import pytest
from notifying import KEY, http_server, message
from pydantic import ValidationError

from core.errors import SettingsError
from core.settings import Service
from services.alerting.bulletin import render
from services.alerting.notifier import DeliveryError
from services.alerting.notifiers import apprise as plugin

# It is imported where Python still has it.
pytestmark = pytest.mark.filterwarnings("ignore:'imghdr' is deprecated:DeprecationWarning")

NAME = "SLOPEWATCH_APPRISE_URL"
SECRET = "s3cret-token"


@pytest.fixture(autouse=True)
def no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "*")


def notifier(
    url: str, monkeypatch: pytest.MonkeyPatch, language: str = "en", **settings: Any
) -> plugin.Apprise:
    monkeypatch.setenv(NAME, url)
    tree = plugin.Settings(**{"allow_private": True, **settings})
    return plugin.open(tree, Service(), language)


def as_json(url: str, query: str = "") -> str:
    """An Apprise URL for a web server of ours, with secrets in it."""
    place = url.removeprefix("http://").split("/")[0]
    return f"json://user:{SECRET}@{place}/{SECRET}{query}"


def failure(status: int, monkeypatch: pytest.MonkeyPatch, **server: Any) -> DeliveryError:
    query = server.pop("query", "")
    with http_server(status, **server) as (url, posts):
        with pytest.raises(DeliveryError) as caught:
            notifier(as_json(url, query), monkeypatch).send(message(), KEY)
        assert len(posts) == 1
    assert SECRET not in str(caught.value)
    return caught.value


def test_title_and_text_arrive(monkeypatch: pytest.MonkeyPatch) -> None:
    with http_server(200) as (url, posts):
        receipt = notifier(as_json(url), monkeypatch).send(message(), KEY)
    assert receipt == ("JSON took it", ())
    ((_, content),) = posts
    told, bulletin = json.loads(content), render(message())
    assert told["title"] == bulletin.subject
    assert told["message"].split() == bulletin.text.split()


def test_it_speaks_the_language_of_the_recipient(monkeypatch: pytest.MonkeyPatch) -> None:
    with http_server(200) as (url, posts):
        notifier(as_json(url), monkeypatch, "es").send(message(), KEY)
    assert json.loads(posts[0][1])["title"] == render(message(), "es").subject


@pytest.mark.parametrize(
    ("status", "retryable"),
    [
        *((status, False) for status in (301, 400, 401, 403, 404, 410)),
        *((status, True) for status in (408, 429, 500, 503)),
    ],
)
def test_status(status: int, retryable: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    error = failure(status, monkeypatch)
    assert error.retryable is retryable
    assert (f"HTTP {status}" in str(error), NAME in str(error)) == (True, not retryable)


def test_silence_may_be_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    assert failure(200, monkeypatch, wait_s=0.8, query="?rto=0.3").retryable


def test_closed_port_may_be_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    with http_server(200) as (url, _):
        pass
    with pytest.raises(DeliveryError, match="out of reach") as caught:
        notifier(as_json(url), monkeypatch).send(message(), KEY)
    assert caught.value.retryable


def test_a_failure_that_the_url_calls_optional_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    assert failure(500, monkeypatch, query="?optional=yes").retryable


def test_a_redirect_leads_nowhere(monkeypatch: pytest.MonkeyPatch) -> None:
    with http_server(200) as (inner, reached):
        assert not failure(307, monkeypatch, headers={"Location": inner}).retryable
    assert reached == []


@pytest.mark.parametrize("host", ["127.0.0.1", "2130706433", "localhost", "[::1]"])
@pytest.mark.parametrize("schema", ["json", "xml", "form", "gotify", "apprise"])
def test_a_private_target_is_refused(
    schema: str, host: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = notifier(f"{schema}://{host}:9/{SECRET}", monkeypatch, allow_private=False)
    with pytest.raises(DeliveryError, match="private network") as caught:
        one.send(message(), KEY)
    assert not caught.value.retryable
    assert SECRET not in str(caught.value)


def test_a_token_in_the_place_of_a_host_is_not_looked_up(monkeypatch: pytest.MonkeyPatch) -> None:
    def looked_up(host: str, *_: object, **__: object) -> None:
        names.append(host)
        raise socket.gaierror

    names: list[str] = []
    monkeypatch.setattr(socket, "getaddrinfo", looked_up)
    url = "slack://T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ/#general"
    with pytest.raises(DeliveryError) as caught:
        notifier(url, monkeypatch, allow_private=False).send(message(), KEY)
    assert caught.value.retryable
    assert set(names) == {"hooks.slack.com"}


@pytest.mark.parametrize("url", ["nonsense", f"nobody://{SECRET}", f"tgram://{SECRET}"])
def test_what_is_no_url_is_said_without_repeating_it(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(SettingsError, match=NAME) as caught:
        notifier(url, monkeypatch)
    assert SECRET not in str(caught.value)


def test_several_targets_in_one_url_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SettingsError, match="2 targets"):
        notifier("mailto://u:p@example.org?to=a@example.org,b@example.org", monkeypatch)


def test_the_url_is_never_in_the_settings() -> None:
    with pytest.raises(ValidationError, match="url_env"):
        plugin.Settings(url_env="json://example.org/token")


@pytest.mark.parametrize(
    "url",
    [
        "discord://4174216298/JHMHI8qBe7bk2ZwO5U711o3dV_js",
        "tgram://123456789:abcdefg_hijklmnop/12315544",
        "twilio://AC123456789012345678901234567890ab:0123456789abcdef0123456789abcdef@15551234567/15551234568",
    ],
)
def test_a_long_text_is_cut_to_what_the_service_takes(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(NAME, url)
    service = plugin._service_of(plugin.Settings())
    text = "\n".join(f"line {number} of a long bulletin" for number in range(500))
    cut = plugin.fitted(text, service, "ORANGE warning")
    assert len(cut) + (0 if service.title_maxlen else len("ORANGE warning")) <= service.body_maxlen
    assert cut.splitlines()[-1] == "(cut here: the service takes no longer text)"
    assert text.startswith("\n".join(cut.splitlines()[:-1]))
    assert plugin.fitted("short", service, "ORANGE warning") == "short"


def test_its_log_is_shown_nowhere(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    class Kept(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            shown.append(f"{record.name}: {record.getMessage()}")

    shown: list[str] = []
    root, kept = logging.getLogger(), Kept()
    monkeypatch.setattr(root, "level", logging.DEBUG)
    root.addHandler(kept)
    try:
        failure(500, monkeypatch)
    finally:
        root.removeHandler(kept)
    assert [line for line in shown if line.startswith("apprise")] == []
    assert SECRET not in "".join(capfd.readouterr())
