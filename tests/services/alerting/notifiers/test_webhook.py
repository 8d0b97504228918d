from __future__ import annotations

import hashlib
import json
import socket
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import requests
from notifying import KEY, NOW, http_server, message
from pydantic import ValidationError

from core.clock import ReplayClock
from core.errors import SettingsError
from core.settings import Service
from services.alerting.notifier import DeliveryError, RecipientGoneError
from services.alerting.notifiers import webhook as plugin
from services.demo.sinks import WebhookSink

SECRET = "correct horse battery staple"


@pytest.fixture(autouse=True)
def secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOOK_SECRET", SECRET)


@pytest.fixture
def sink(tmp_path: Path) -> Iterator[WebhookSink]:
    with WebhookSink(tmp_path / "posts", SECRET) as sink:
        yield sink


def notifier(url: str, **settings: Any) -> plugin.Webhook:
    values = {"secret_env": "HOOK_SECRET", "allow_private": True, **settings}
    tree = plugin.Settings(url=url, **values)
    return plugin.open(tree, Service())


def failure(status: int, headers: dict[str, str] | None = None, **server: Any) -> DeliveryError:
    with http_server(status, headers, **server) as (url, posts):
        with pytest.raises(DeliveryError) as caught:
            notifier(url, timeout_s=0.5).send(message(), KEY)
        assert len(posts) == 1
    assert "s3cret-path" not in str(caught.value)
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__ or caught.value.__context__ is None
    return caught.value


def test_post_arrives_signed_and_keyed(sink: WebhookSink) -> None:
    assert notifier(sink.url).send(message(), KEY) == ("HTTP 200", ())
    (body,) = sink.bodies()
    assert (body["type"], body["key"]) == (plugin.BODY_TYPE, KEY)
    assert body["simulated"] is False
    assert body["subject"] == "ORANGE warning (was YELLOW): Toe, Xinpu landslide"
    assert "WHAT TO DO" in body["text"]
    assert body["message"]["ledger_head"] == "a1" * 32
    assert body["message"]["known_since"] == "2026-03-14T06:00:00Z"


def test_repeat_is_told_apart(sink: WebhookSink) -> None:
    for _ in range(2):
        notifier(sink.url).send(message(), KEY)
    assert (len(sink.bodies()), sink.repeats, sink.conflicts) == (1, 1, 0)


def test_same_key_with_another_body_is_a_conflict(sink: WebhookSink) -> None:
    notifier(sink.url).send(message(), KEY)
    with pytest.raises(DeliveryError, match="HTTP 422"):
        notifier(sink.url).send(message(level="red"), KEY)
    assert (len(sink.bodies()), sink.repeats, sink.conflicts) == (1, 0, 1)


def test_wrong_secret_is_refused(
    sink: WebhookSink, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("HOOK_SECRET", "guess")
    with pytest.raises(DeliveryError, match="HTTP 401") as caught:
        notifier(sink.url).send(message(), KEY)
    assert not caught.value.retryable
    assert "secret the same on both sides" in str(caught.value)
    assert (sink.refused, sink.bodies()) == (1, [])


class TestSignature:
    BODY = b'{"a":1}'

    def test_known_value(self) -> None:
        wanted = "t=1700000000,v1=" + by_definition(b"key", b"1700000000.body")
        assert plugin.sign("key", 1_700_000_000, b"body") == wanted

    def test_holds_for_its_body_and_time_only(self) -> None:
        header = plugin.sign(SECRET, int(NOW.timestamp()), self.BODY)
        verify = plugin.verify_signature
        assert verify(SECRET, header, self.BODY, NOW)
        assert verify(SECRET, header, self.BODY, NOW + timedelta(seconds=300))
        assert not verify(SECRET, header, self.BODY, NOW + timedelta(seconds=301))
        assert not verify(SECRET, header, self.BODY, NOW - timedelta(seconds=301))
        assert not verify(SECRET, header, self.BODY + b" ", NOW)
        assert not verify("other", header, self.BODY, NOW)
        assert not verify("", plugin.sign("", int(NOW.timestamp()), self.BODY), self.BODY, NOW)

    def test_any_of_several_may_fit(self) -> None:
        at = int(NOW.timestamp())
        old, new = (plugin.sign(one, at, self.BODY).partition(",")[2] for one in ("old", SECRET))
        assert plugin.verify_signature(SECRET, f"t={at},{old},{new}", self.BODY, NOW)

    @pytest.mark.parametrize(
        "header", ["", "t=1", "v1=aa", "t=x,v1=" + "0" * 64, "t=1,v1=é", "t=1,v1=" + "0" * 64 + " "]
    )
    def test_garbage_is_no_signature(self, header: str) -> None:
        assert not plugin.verify_signature(
            SECRET, header, self.BODY, datetime.fromtimestamp(1, UTC)
        )


def by_definition(key: bytes, text: bytes) -> str:
    """HMAC-SHA256 as RFC 2104 writes it."""
    block = key.ljust(64, b"\0")
    inner = hashlib.sha256(bytes(b ^ 0x36 for b in block) + text).digest()
    return hashlib.sha256(bytes(b ^ 0x5C for b in block) + inner).hexdigest()


@pytest.mark.parametrize(
    ("status", "retryable"),
    [
        *((status, False) for status in (301, 307, 400, 401, 403, 404, 410, 422)),
        *((status, True) for status in (408, 425, 429, 500, 502, 503)),
    ],
)
def test_status(status: int, retryable: bool) -> None:
    error = failure(status, {"Location": "http://127.0.0.1:9/"})
    assert error.retryable is retryable
    assert not isinstance(error, RecipientGoneError)
    assert any(what in str(error) for what in ("set ", "make ", "ask ")) is not retryable


def test_silence_may_be_tried_again() -> None:
    assert failure(200, wait_s=0.8).retryable


def test_closed_port_may_be_tried_again(tmp_path: Path) -> None:
    with WebhookSink(tmp_path, SECRET) as closed:
        url = closed.url
    with pytest.raises(DeliveryError, match="out of reach") as caught:
        notifier(url).send(message(), KEY)
    assert caught.value.retryable


def test_large_answer_is_not_read() -> None:
    with http_server(200, body=b"x" * (8 << 20)) as (url, _):
        assert notifier(url).send(message(), KEY) == ("HTTP 200", ())


def test_retry_after_is_passed_on() -> None:
    assert failure(429, {"Retry-After": "120"}).retry_after == timedelta(minutes=2)
    assert failure(503, {"Retry-After": "soon"}).retry_after is None
    assert failure(503).retry_after is None


@pytest.mark.parametrize(
    "url",
    [
        "http://hooks.example.org/",
        "ftp://hooks.example.org/",
        "https://",
        "hooks.example.org",
        "https://user:password@hooks.example.org/",
        "https://hooks.example.org:99999/",
        "https://hooks.example.org/\r\nX: y",
    ],
)
def test_bad_url_is_refused(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValidationError, match="url"):
        plugin.Settings(url=url)
    monkeypatch.setenv("HOOK_URL", url)
    with pytest.raises(SettingsError, match="url") as caught:
        notifier("${HOOK_URL}")
    assert "example" not in str(caught.value)


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "[::1]"])
def test_plain_http_is_for_this_machine(host: str) -> None:
    url = f"http://{host}:8080/x"
    assert plugin.fault_of_url(url, insecure=False, allow_private=True) is None
    assert "private network" in str(plugin.fault_of_url(url, insecure=False))
    assert plugin.fault_of_url("http://hooks.example.org/x", insecure=True) is None


def test_missing_secret_is_said_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HOOK_SECRET")
    with pytest.raises(SettingsError, match="HOOK_SECRET"):
        notifier("https://hooks.example.org/")


def test_nothing_shown_holds_url_path_or_secret() -> None:
    hook = notifier("https://hooks.example.org/T0/s3cret-path")
    assert repr(hook) == "Webhook(hooks.example.org)"
    assert SECRET not in str(vars(hook))


def test_body_is_the_same_on_every_attempt_and_the_time_is_not() -> None:
    clock = ReplayClock(NOW)
    with http_server(200) as (url, posts):
        settings = plugin.Settings(url=url, secret_env="HOOK_SECRET", allow_private=True)
        hook = plugin.Webhook(url, settings, clock)
        hook.send(message(), KEY)
        clock.sleep(60)
        hook.send(message(), KEY)
    (first, body), (second, again) = posts
    assert body == again
    assert json.loads(body)["key"] == first["Idempotency-Key"] == second["Idempotency-Key"] == KEY
    assert first[plugin.SIGNATURE_HEADER] != second[plugin.SIGNATURE_HEADER]
    signed = second[plugin.SIGNATURE_HEADER]
    assert plugin.verify_signature(SECRET, signed, body, clock.now(), tolerance_s=1)


def test_unexpected_request_error_tells_no_url(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_: object, url: str, **__: object) -> None:
        raise requests.exceptions.InvalidURL(f"cannot read {url}")

    monkeypatch.setattr(requests.Session, "post", broken)
    with pytest.raises(DeliveryError) as caught:
        notifier("https://hooks.example.org/s3cret-path").send(message(), KEY)
    assert "s3cret-path" not in str(caught.value)
    assert not caught.value.retryable


class TestPrivateTargets:
    """What only this service can reach is nobody's to knock at through it."""

    @pytest.mark.parametrize(
        "host",
        [
            *("127.0.0.1", "localhost", "x.localhost.", "10.0.0.7", "192.168.1.1", "172.16.0.1"),
            *("169.254.169.254", "100.100.100.200", "168.63.129.16", "192.0.0.192", "0.0.0.0"),
            *("[::1]", "[::]", "[fe80::1]", "[fd00:ec2::254]", "[::ffff:127.0.0.1]"),
            *("[64:ff9b::a00:1]", "[2002:7f00:1::]", "224.0.0.1", "255.255.255.255"),
        ],
    )
    def test_said_by_number_or_name_are_refused_at_once(self, host: str) -> None:
        with pytest.raises(ValidationError, match="allow_private"):
            plugin.Settings(url=f"https://{host}/x")
        assert plugin.Settings(url=f"https://{host}/x", allow_private=True)

    @pytest.mark.parametrize(
        "host", ["2130706433", "0x7f000001", "0177.0.0.1", "127.1", "ip6-localhost.example"]
    )
    def test_written_otherwise_are_refused_before_anything_is_sent(
        self, host: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        resolve_to(monkeypatch, {"ip6-localhost.example": ["::1"]})
        with http_server(200) as (url, posts):
            port = url.split(":")[2].split("/")[0]
            with pytest.raises(DeliveryError, match="private network") as caught:
                notifier(
                    f"http://{host}:{port}/s3cret-path", insecure=True, allow_private=False
                ).send(message(), KEY)
        assert not caught.value.retryable
        assert "s3cret-path" not in str(caught.value)
        assert posts == []

    def test_one_private_address_among_several_is_enough(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        resolve_to(monkeypatch, {"hooks.example.org": ["93.184.215.14", "10.0.0.7"]})
        with pytest.raises(DeliveryError, match="private network"):
            notifier("https://hooks.example.org/", allow_private=False).send(message(), KEY)

    def test_a_name_that_changes_after_the_check_gains_nothing(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        looked_up = resolve_to(
            monkeypatch,
            {"hooks.example.org": ["93.184.215.14"]},
            then={"hooks.example.org": ["::1"]},
        )
        tried: list[object] = []

        def connect(self: socket.socket, address: object) -> None:
            tried.append(address)
            raise ConnectionRefusedError

        monkeypatch.setattr(socket.socket, "connect", connect)
        with pytest.raises(DeliveryError, match="out of reach"):
            notifier("https://hooks.example.org/", allow_private=False).send(message(), KEY)
        assert tried == [("93.184.215.14", 443)]
        assert looked_up == ["hooks.example.org"]

    def test_a_redirect_leads_nowhere(self) -> None:
        with http_server(200) as (inner, reached):
            assert "not followed" in str(failure(302, {"Location": inner}))
        assert reached == []

    def test_a_proxy_of_the_environment_is_not_asked(self, monkeypatch: pytest.MonkeyPatch) -> None:
        with http_server(200) as (proxy, asked), http_server(200) as (url, posts):
            for name in ("http_proxy", "HTTP_PROXY", "all_proxy"):
                monkeypatch.setenv(name, proxy)
            monkeypatch.delenv("no_proxy", raising=False)
            notifier(url).send(message(), KEY)
        assert (len(posts), asked) == (1, [])


def resolve_to(
    monkeypatch: pytest.MonkeyPatch,
    names: dict[str, list[str]],
    then: dict[str, list[str]] | None = None,
) -> list[str]:
    """Look `names` up as given, from the second time on as `then`; gives what is looked up."""
    looked_up: list[str] = []
    real = socket.getaddrinfo

    def getaddrinfo(host: str, port: int, *args: Any, **more: Any) -> list[Any]:
        if host not in names:
            return real(host, port, *args, **more)
        known = then if then and host in looked_up else names
        looked_up.append(host)
        return [
            (socket.AF_INET6 if ":" in one else socket.AF_INET, 1, 6, "", (one, port))
            for one in known[host]
        ]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    return looked_up


def test_text_is_in_the_language_of_the_recipient() -> None:
    english, spanish = (json.loads(plugin.body_of(message(), KEY, one)) for one in ("en", "es"))
    assert english["subject"] != spanish["subject"]
    assert english["message"] == spanish["message"]
