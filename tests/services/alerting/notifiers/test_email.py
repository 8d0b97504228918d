from __future__ import annotations

import re
from collections.abc import Iterator
from email.message import EmailMessage
from pathlib import Path
from typing import Any, ClassVar

import pytest
from notifying import KEY, Script, message, smtp_server
from picturing import pictured
from pydantic import ValidationError

from core.artifacts import FileArtifacts, MemoryArtifacts
from core.errors import SettingsError
from core.settings import Service, Smtp
from services.alerting.notifier import DeliveryError, RecipientGoneError
from services.alerting.notifiers import email as plugin
from services.demo.sinks import SmtpSink

TO = ("duty@example.org", "mayor@example.org")


@pytest.fixture
def sink(tmp_path: Path) -> Iterator[SmtpSink]:
    with SmtpSink(tmp_path / "mail") as sink:
        yield sink


def notifier(port: int, to: tuple[str, ...] = TO, **smtp: Any) -> plugin.Email:
    values = {"security": "none", "sender": "watch@slopes.example.org", "timeout_s": 2.0, **smtp}
    service = Service(smtp=Smtp(port=port, **values))
    return plugin.open(plugin.Settings(to=to), service)


def pictured_mail(
    tmp_path: Path, sink: SmtpSink, language: str = "en", *, is_stored: bool = True, **changes: Any
) -> EmailMessage:
    """The mail of a message whose artifacts lie in a folder, or are lost."""
    artifacts = FileArtifacts(tmp_path / "artifacts")
    told = pictured(artifacts if is_stored else MemoryArtifacts(), **changes)
    smtp = Smtp(port=sink.port, security="none", sender="watch@slopes.example.org")
    service = Service(smtp=smtp, data=tmp_path)
    plugin.open(plugin.Settings(to=TO), service, language).send(told, KEY)
    (mail,) = sink.messages()
    return mail


def failure(answers: dict[str, list[str | float | None]], **smtp: Any) -> DeliveryError:
    with smtp_server(Script(answers)) as port, pytest.raises(DeliveryError) as caught:
        notifier(port, **smtp).send(message(), KEY)
    assert "@" not in str(caught.value)
    return caught.value


def test_mail_arrives_with_both_parts_and_headers(sink: SmtpSink) -> None:
    receipt = notifier(sink.port).send(message(), KEY)
    assert receipt == ("250 kept", ())
    (mail,) = sink.messages()
    assert mail["Subject"] == "ORANGE warning (was YELLOW): Toe, Xinpu landslide"
    assert mail["To"] == ", ".join(TO)
    assert mail["From"] == "watch@slopes.example.org"
    assert mail["Message-ID"] == f"<{KEY}@slopes.example.org>"
    assert mail["Auto-Submitted"] == "auto-generated"
    text, html = mail.iter_parts()
    assert text.get_content_type() == "text/plain"
    assert html.get_content_type() == "text/html"
    assert "121.4 ± 8.2 mm/yr downslope" in text.get_content()
    assert "<h1" in html.get_content()


def test_the_boundary_stands_plainly_in_one_header(sink: SmtpSink) -> None:
    mail = notifier(sink.port)._compose(message(), KEY).as_bytes().decode()
    (line,) = [line for line in mail.splitlines() if "boundary" in line]
    assert line.strip().startswith('boundary="=_')


def test_the_boundaries_of_a_mail_with_pictures_differ(tmp_path: Path, sink: SmtpSink) -> None:
    mail = pictured_mail(tmp_path, sink)
    _, related = mail.iter_parts()
    assert mail.get_boundary() != related.get_boundary()
    assert all(str(one.get_boundary()).startswith("=_") for one in (mail, related))


def test_pictures_lie_inside_the_html_by_content_id(tmp_path: Path, sink: SmtpSink) -> None:
    mail = pictured_mail(tmp_path, sink)
    assert mail.get_content_type() == "multipart/alternative"
    text, related = mail.iter_parts()
    assert text.get_content_type() == "text/plain"
    assert related.get_content_type() == "multipart/related"
    html, *images = related.iter_parts()
    assert html.get_content_type() == "text/html"
    named = re.findall(r'src="cid:([^"]+)" alt="([^"]{40,})"', html.get_content())
    assert [f"<{cid}>" for cid, _ in named] == [one["Content-ID"] for one in images]
    assert [one.get_filename() for one in images] == ["map.png", "curve.png"]
    assert all(one.get_content_disposition() == "inline" for one in images)
    assert all(one.get_content().startswith(b"\x89PNG") for one in images)
    assert "Map of 3 slope units." in text.get_content()
    assert len(mail.as_bytes()) < 300_000
    assert mail["Message-ID"] == f"<{KEY}@slopes.example.org>"


def test_a_mail_without_its_artifacts_says_so_and_goes_out(tmp_path: Path, sink: SmtpSink) -> None:
    mail = pictured_mail(tmp_path, sink, is_stored=False, level="red")
    text, html = mail.iter_parts()
    assert html.get_content_type() == "text/html"
    assert "No map: what it is drawn from is out of reach." in text.get_content()
    assert "No curve: what it is drawn from is out of reach." in html.get_content()
    assert "<img" not in html.get_content()
    assert mail["Importance"] == "high"


@pytest.mark.parametrize(
    ("language", "tag", "word"),
    [("en", "en", "ORANGE"), ("es", "es", "NARANJA"), ("zh", "zh-Hans", "橙色")],
)
def test_the_mail_speaks_the_recipients_language(
    tmp_path: Path, sink: SmtpSink, language: str, tag: str, word: str
) -> None:
    mail = pictured_mail(tmp_path, sink, language, is_stored=False)
    assert mail["Content-Language"] == tag
    assert word in mail["Subject"]
    text, html = mail.iter_parts()
    assert word in text.get_content()
    assert f'<html lang="{tag}">' in html.get_content()


def test_an_unknown_language_is_said_at_once() -> None:
    with pytest.raises(SettingsError, match="no language named 'xx'; known: en, es, zh"):
        plugin.open(plugin.Settings(to=TO), Service(), "xx")


def test_the_same_message_makes_the_same_mail(tmp_path: Path, sink: SmtpSink) -> None:
    artifacts = FileArtifacts(tmp_path / "artifacts")
    told = pictured(artifacts)
    service = Service(smtp=Smtp(port=sink.port, security="none"), data=tmp_path)
    email = plugin.open(plugin.Settings(to=TO), service)
    first, again = (email._compose(told, KEY) for _ in range(2))
    del first["Date"], again["Date"]
    assert first.as_bytes() == again.as_bytes()


def test_only_a_real_alarm_is_marked_as_important(sink: SmtpSink) -> None:
    email = notifier(sink.port)
    email.send(message(level="red"), "1" * 32)
    email.send(message(level="red", simulated=True), "2" * 32)
    email.send(message(level="red", status="exercise"), "3" * 32)
    email.send(message(level="red", kind="drill"), "4" * 32)
    email.send(message(kind="review", under_review="red"), "5" * 32)
    marks = {mail["Subject"]: mail["Importance"] for mail in sink.messages()}
    assert marks == {
        "RED alarm (was YELLOW): Toe, Xinpu landslide": "high",
        "SIMULATED: RED alarm (was YELLOW): Toe, Xinpu landslide": None,
        "EXERCISE: RED alarm (was YELLOW): Toe, Xinpu landslide": None,
        "EXERCISE: RED alarm: Toe, Xinpu landslide": None,
        "TO REVIEW, RED alarm not yet released (told so far: ORANGE warning): Toe, Xinpu "
        "landslide": "high",
    }


def test_repeat_carries_the_same_message_id(sink: SmtpSink) -> None:
    for _ in range(2):
        notifier(sink.port).send(message(), KEY)
    assert (len(sink.messages()), sink.repeats) == (1, 1)


def test_no_header_can_be_smuggled_in(sink: SmtpSink) -> None:
    sly = message(title="Xinpu\r\nBcc: thief@example.org\n\nhello", unit_name="Toe\x00\u2028x")
    notifier(sink.port).send(sly, "key\r\nX-Evil: 1")
    (mail,) = sink.messages()
    assert mail["Bcc"] is None
    assert mail["X-Evil"] is None
    assert mail["Subject"].endswith("Toe x, Xinpu Bcc: thief@example.org hello")
    assert "\n" not in mail["Subject"]


@pytest.mark.parametrize(
    "address",
    ["", "nobody", "a@b\r\nRCPT TO:<c@d>", "a b@c.org", "<a@b.org>", "a@-b.org", "a@b.org,c@d.org"],
)
def test_bad_address_is_refused_by_the_settings(address: str) -> None:
    with pytest.raises(ValidationError, match="entry 1 is not a mail address"):
        plugin.Settings(to=(address,))


def test_addresses_from_the_environment(monkeypatch: pytest.MonkeyPatch, sink: SmtpSink) -> None:
    monkeypatch.setenv("DUTY", "a@example.org, b@example.org")
    notifier(sink.port, to=("${DUTY}", "a@example.org")).send(message(), KEY)
    assert sink.messages()[0]["To"] == "a@example.org, b@example.org"
    monkeypatch.setenv("DUTY", "no address at all")
    with pytest.raises(SettingsError, match="to, entry 1: not a mail address"):
        notifier(sink.port, to=("${DUTY}",))
    monkeypatch.delenv("DUTY")
    with pytest.raises(SettingsError, match=r"DUTY .* is not set"):
        notifier(sink.port, to=("${DUTY}",))


@pytest.mark.parametrize(
    ("answers", "retryable"),
    [
        ({"CONNECT": ["421 busy"]}, True),
        ({"CONNECT": ["554 go away"]}, False),
        ({"CONNECT": [None]}, True),
        ({"MAIL": ["451 later"]}, True),
        ({"MAIL": ["550 not you <watch@slopes.example.org>"]}, False),
        ({"RCPT": ["450 greylisted"]}, True),
        ({"RCPT": ["550 no such user <duty@example.org>"]}, False),
        ({"RCPT": ["421 closing", None]}, True),
        ({"DATA": ["452 full"]}, True),
        ({"DATA": ["554 no"]}, False),
        ({"CONTENT": ["451 scanner down"]}, True),
        ({"CONTENT": ["552 too large"]}, False),
        ({"CONTENT": [None]}, True),
        ({"EHLO": [0.6]}, True),
        ({"CONTENT": [0.6]}, True),
    ],
)
def test_replies_and_silence(answers: dict[str, list[str | float | None]], retryable: bool) -> None:
    error = failure(answers, timeout_s=0.3)
    assert error.retryable is retryable
    assert isinstance(error, RecipientGoneError) is (not retryable and "RCPT" in answers)


def test_server_without_starttls_gets_nothing() -> None:
    script = Script({})
    with smtp_server(script) as port, pytest.raises(DeliveryError, match="STARTTLS") as caught:
        notifier(port, security="starttls").send(message(), KEY)
    assert not caught.value.retryable
    assert [line.split()[0] for line in script.heard] == ["ehlo"]


def test_refused_starttls_gets_nothing() -> None:
    script = Script({"EHLO": ["250-scripted\r\n250 STARTTLS"], "STARTTLS": ["454 not now"]})
    with smtp_server(script) as port, pytest.raises(DeliveryError, match="454") as caught:
        notifier(port, security="starttls").send(message(), KEY)
    assert caught.value.retryable
    assert [line.split()[0].upper() for line in script.heard] == ["EHLO", "STARTTLS"]


def test_plain_server_on_a_tls_port_gets_nothing(sink: SmtpSink) -> None:
    with pytest.raises(DeliveryError) as caught:
        notifier(sink.port, security="tls").send(message(), KEY)
    assert caught.value.retryable
    assert not sink.messages()


def test_closed_port_may_be_tried_again(sink: SmtpSink, tmp_path: Path) -> None:
    with SmtpSink(tmp_path / "other") as other:
        port = other.port
    with pytest.raises(DeliveryError, match="out of reach") as caught:
        notifier(port).send(message(), KEY)
    assert caught.value.retryable


def test_trouble_after_acceptance_is_no_failure() -> None:
    with smtp_server(Script({"QUIT": [0.6]})) as port:
        assert notifier(port, timeout_s=0.3).send(message(), KEY).answer == "250 queued as 42"


def test_refused_address_is_reported_by_its_place() -> None:
    with smtp_server(Script({"RCPT": ["250 ok", "550 no <mayor@example.org>"]})) as port:
        receipt = notifier(port).send(message(), KEY)
    assert receipt.refused == ("address 2 of 2 refused: 550 no <(address)>",)


def test_only_the_greylisted_address_is_tried_again() -> None:
    script = Script({"RCPT": ["250 ok", "450 greylisted", "250 ok"]})
    with smtp_server(script) as port:
        email = notifier(port)
        with pytest.raises(DeliveryError, match="address 2 of 2 refused: 450") as caught:
            email.send(message(), KEY)
        assert caught.value.retryable
        assert email.send(message(), KEY).refused == ()
    asked = [line for line in script.heard if line.lower().startswith("rcpt")]
    assert [line.split("<")[1] for line in asked] == [
        "duty@example.org>",
        "mayor@example.org>",
        "mayor@example.org>",
    ]


class TestLogin:
    LOGIN: ClassVar[dict[str, list[str | float | None]]] = {
        "EHLO": ["250-scripted\r\n250 AUTH PLAIN"]
    }

    def test_password_from_a_file(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        (tmp_path / "password").write_text("tiger\n")
        monkeypatch.setenv("SLOPEWATCH_SMTP_PASSWORD_FILE", str(tmp_path / "password"))
        script = Script({**self.LOGIN, "AUTH": ["235 welcome"]})
        with smtp_server(script) as port:
            notifier(port, user="scott").send(message(), KEY)
        assert "AUTH PLAIN AHNjb3R0AHRpZ2Vy" in script.heard

    @pytest.mark.parametrize(
        ("answer", "passes"), [("535 wrong", False), ("454 try again later", True)]
    )
    def test_a_refused_login_says_what_to_mend(
        self, monkeypatch: pytest.MonkeyPatch, answer: str, passes: bool
    ) -> None:
        monkeypatch.setenv("SLOPEWATCH_SMTP_PASSWORD", "tiger")
        error = failure({**self.LOGIN, "AUTH": [answer]}, user="scott")
        assert error.retryable is passes
        assert not isinstance(error, RecipientGoneError)
        assert "smtp.user and SLOPEWATCH_SMTP_PASSWORD" in str(error)
        assert "tiger" not in str(error)

    def test_server_without_login(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("SLOPEWATCH_SMTP_PASSWORD", "tiger")
        assert not failure({}, user="scott").retryable

    def test_missing_password_is_said_at_once(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delenv("SLOPEWATCH_SMTP_PASSWORD", raising=False)
        with pytest.raises(SettingsError, match="SLOPEWATCH_SMTP_PASSWORD"):
            notifier(1, user="scott")
        monkeypatch.setenv("SLOPEWATCH_SMTP_PASSWORD_FILE", "/nowhere/at/all")
        with pytest.raises(SettingsError, match="cannot be read"):
            notifier(1, user="scott")

    def test_password_never_goes_unencrypted(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("SLOPEWATCH_SMTP_PASSWORD", "tiger")
        with pytest.raises(SettingsError, match="for all to read"):
            notifier(25, user="scott", host="mail.example.org")


@pytest.mark.parametrize("sender", ["nobody", "a@b\r\nBcc: c@d", "Watch <not an address>"])
def test_bad_sender_is_said_at_once(sender: str) -> None:
    with pytest.raises(SettingsError, match="sender"):
        notifier(25, sender=sender)


def test_nothing_shown_holds_an_address() -> None:
    assert repr(notifier(25)) == "Email(2 addresses by 127.0.0.1)"
