"""Mail over SMTP: plain text with an HTML alternative, readable without images.

Map and curve stand inside the HTML part (RFC 2387), drawn from the artifacts that the message
names. A mail never waits long for them, and never fails for them: it says that they are missing.

The Message-ID is made of the notification's id, so a repeat carries the same one and a mail
program shows it once. The server is the service's `smtp`; its password comes from the environment
or a file only. With `starttls` a server that does not offer it gets nothing.

Sources: RFC 5321 (SMTP: 4yz replies may be tried again, 5yz not), RFC 3207 (STARTTLS), RFC 5322
section 3.6.4 (Message-ID), RFC 3834 (Auto-Submitted).
"""

from __future__ import annotations

import hashlib
import re
import smtplib
import ssl
from collections.abc import Mapping
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime, parseaddr
from typing import Any, Final, NamedTuple

from pydantic import Field, field_validator

from core.clock import Clock, SystemClock
from core.errors import SettingsError
from core.settings import Service, Smtp, Tree
from services.alerting.bulletin import Language, load_language, render
from services.alerting.bulletin.language import ORIGINAL
from services.alerting.bulletin.studio import Studio, studio_at
from services.alerting.message import Message
from services.alerting.notifier import (
    DeliveryError,
    Receipt,
    RecipientGoneError,
    from_environment,
    has_variable,
    is_loopback,
    required_secret,
    without_addresses,
)

MAX_ADDRESSES: Final = 100
EXAMPLE: Final[Mapping[str, Any]] = {"to": ["duty@example.org", "${DUTY_MAIL}"]}

_ADDRESS = re.compile(
    r"(?=.{3,254}\Z)[A-Za-z0-9!#$%&'*+/=?^_`{|}~.-]{1,64}@"
    r"[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?(?:\.[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?)*\Z"
)
_KEY = re.compile(r"[A-Za-z0-9._-]{1,128}")
_REMEMBERED = 256


class Settings(Tree):
    """Who gets the mail."""

    to: tuple[str, ...] = Field(
        min_length=1,
        max_length=MAX_ADDRESSES,
        description="mail addresses, or ${NAME} of an environment variable with one or more of "
        "them, separated by commas",
    )

    @field_validator("to")
    @classmethod
    def _addresses(cls, to: tuple[str, ...]) -> tuple[str, ...]:
        for place, one in enumerate(to, start=1):
            if not has_variable(one) and not is_address(one):
                raise ValueError(f"entry {place} is not a mail address")
        return to


class Refusal(NamedTuple):
    """Why one address was refused: its place in the list, the reply's code and text."""

    place: str
    code: int
    text: str

    def __str__(self) -> str:
        return f"address {self.place} refused: {self.code} {self.text}".rstrip()


def is_address(text: str) -> bool:
    """Whether `text` is one plain mail address, such as a header and an envelope can hold."""
    return _ADDRESS.match(text) is not None


def addresses_of(settings: Settings) -> tuple[str, ...]:
    """The addresses with variables filled in. Raises `SettingsError` without repeating them."""
    found: list[str] = []
    for place, entry in enumerate(settings.to, start=1):
        for part in from_environment(entry).split(","):
            address = part.strip()
            if not is_address(address):
                raise SettingsError(f"notifier email: to, entry {place}: not a mail address")
            found.append(address)
    unique = tuple(dict.fromkeys(found))
    if len(unique) > MAX_ADDRESSES:
        raise SettingsError(f"notifier email: more than {MAX_ADDRESSES} addresses")
    return unique


def is_alarm(message: Message) -> bool:
    """Whether a real red alarm is told, or waits to be released."""
    meant = message.status == "actual" and message.kind not in ("drill", "cancelled")
    return meant and not message.simulated and "red" in (message.level, message.under_review)


def message_id(key: str, domain: str) -> str:
    """Message-ID of the notification `key`: the same for the same key."""
    safe = key if _KEY.fullmatch(key) else hashlib.sha256(key.encode()).hexdigest()
    return f"<{safe}@{domain}>"


class Email:
    """Mail to a recipient's addresses. The password is read for each sending and never kept."""

    channel = "email"

    def __init__(
        self, to: tuple[str, ...], smtp: Smtp, clock: Clock, language: Language, studio: Studio
    ) -> None:
        self._to = to
        self._smtp = smtp
        self._clock = clock
        self._language = language
        self._studio = studio
        self._sender = parseaddr(smtp.sender)[1]
        self._domain = self._sender.rpartition("@")[2]
        self._settled: dict[str, dict[str, Refusal | None]] = {}

    def __repr__(self) -> str:
        return f"Email({len(self._to)} addresses by {self._smtp.host})"

    def send(self, message: Message, key: str) -> Receipt:
        """Hand the mail to the server.

        4yz replies and silence may pass, 5yz replies are for somebody to mend; only when all
        addresses are refused for good is the recipient gone. When only some addresses may be tried
        again, the next call with this `key` goes to these alone.
        """
        settled = self._settled.setdefault(key, {})
        while len(self._settled) > _REMEMBERED:
            del self._settled[next(iter(self._settled))]
        open_addresses = [one for one in self._to if one not in settled]
        content = self._compose(message, key).as_bytes()
        try:
            answer, refused = self._hand_over(open_addresses, content)
        except (smtplib.SMTPException, OSError) as error:
            # The error's own text holds addresses.
            raise self._explained(error) from None
        again = [one for one in refused.values() if 400 <= one.code < 500]
        settled.update({a: refused.get(a) for a in open_addresses if refused.get(a) not in again})
        if again:
            raise DeliveryError("; ".join(map(str, again[:5])), retryable=True)
        del self._settled[key]
        lost = [str(one) for one in settled.values() if one is not None]
        if len(lost) == len(self._to):
            raise RecipientGoneError("; ".join(lost[:5]))
        return Receipt(answer or "taken at an earlier attempt", tuple(lost))

    def _compose(self, message: Message, key: str) -> EmailMessage:
        pictures = self._studio.pictures(message, self._language)
        bulletin = render(message, self._language.name, pictures)
        mail = EmailMessage(policy=SMTP)
        mail["From"] = self._smtp.sender
        mail["To"] = ", ".join(self._to)
        mail["Subject"] = bulletin.subject
        mail["Date"] = format_datetime(self._clock.now())
        mail["Message-ID"] = message_id(key, self._domain)
        mail["Auto-Submitted"] = "auto-generated"
        if is_alarm(message):
            mail["Importance"] = "high"
        mail.set_content(bulletin.text, cte="quoted-printable")
        mail.add_alternative(bulletin.html, subtype="html", cte="quoted-printable")
        # Set earlier it would have moved into the plain text.
        mail["Content-Language"] = bulletin.tag
        _, html = mail.iter_parts()
        for one in pictures:
            if one.png:
                name, cid = f"{one.kind}.png", f"<{one.content_id}>"
                html.add_related(
                    one.png, "image", "png", cid=cid, filename=name, disposition="inline"
                )
        for part in (mail, html):
            if part.is_multipart():
                part.set_boundary(_boundary(part.get_content_type(), key))
        return mail

    def _hand_over(self, to: list[str], content: bytes) -> tuple[str, dict[str, Refusal]]:
        smtp = self._connect()
        try:
            self._secure(smtp)
            code, text = smtp.mail(self._sender, ())
            if code != 250:
                raise smtplib.SMTPSenderRefused(code, text, self._sender)
            refused: dict[str, Refusal] = {}
            for one in to:
                code, text = smtp.rcpt(one)
                if code not in (250, 251):
                    place = f"{self._to.index(one) + 1} of {len(self._to)}"
                    refused[one] = Refusal(place, code, _plain(text))
            if len(refused) == len(to):
                return "", refused
            code, text = smtp.data(content)
            if code != 250:
                raise smtplib.SMTPDataError(code, text)
            answer = f"{code} {_plain(text)}"
            _part(smtp)
            return answer, refused
        finally:
            smtp.close()

    def _connect(self) -> smtplib.SMTP:
        ours = self._domain if "." in self._domain else "localhost"
        at = (self._smtp.host, self._smtp.port, ours)
        if self._smtp.security == "tls":
            context = ssl.create_default_context()
            return smtplib.SMTP_SSL(*at, timeout=self._smtp.timeout_s, context=context)
        return smtplib.SMTP(*at, timeout=self._smtp.timeout_s)

    def _secure(self, smtp: smtplib.SMTP) -> None:
        smtp.ehlo_or_helo_if_needed()
        if self._smtp.security == "starttls":
            if not smtp.has_extn("starttls"):
                raise DeliveryError(
                    f"the mail server {self._smtp.host} does not offer STARTTLS, so it gets "
                    "nothing; set smtp.security to what it offers",
                    retryable=False,
                )
            code, text = smtp.starttls(context=ssl.create_default_context())
            if code != 220:
                raise smtplib.SMTPResponseException(code, text)
            smtp.ehlo()
        if self._smtp.user is not None:
            smtp.login(self._smtp.user, required_secret(self._smtp.password_env))

    def _explained(self, error: Exception) -> DeliveryError:
        host = self._smtp.host
        if isinstance(error, ssl.SSLCertVerificationError):
            # Theirs to renew: to drop an alarm for it would be the greater harm.
            return DeliveryError(
                f"the mail server {host} has no certificate that is trusted", retryable=True
            )
        if isinstance(error, smtplib.SMTPAuthenticationError):
            return DeliveryError(
                f"the mail server {host} does not accept the login: {error.smtp_code}; set "
                f"smtp.user and {self._smtp.password_env} to what it accepts",
                retryable=error.smtp_code < 500,
            )
        if isinstance(error, smtplib.SMTPResponseException):
            return DeliveryError(
                f"the mail server {host} answered {error.smtp_code} {_plain(error.smtp_error)}",
                retryable=error.smtp_code < 500,
            )
        if isinstance(error, smtplib.SMTPNotSupportedError):
            return DeliveryError(
                f"the mail server {host} cannot do what the settings ask for (login or STARTTLS); "
                "set smtp.user and smtp.security to what it offers",
                retryable=False,
            )
        what = "did not answer in time" if isinstance(error, TimeoutError) else "is out of reach"
        return DeliveryError(
            f"the mail server {host} {what} ({type(error).__name__})", retryable=True
        )


def _boundary(content_type: str, key: str) -> str:
    """Short enough for one header line: few mail programs read a boundary that was continued."""
    return "=_" + hashlib.sha256(f"boundary {content_type} {key}".encode()).hexdigest()[:32]


def _part(smtp: smtplib.SMTP) -> None:
    # The mail is accepted already: nothing that goes wrong now may send it again.
    try:
        smtp.docmd("QUIT")
    except (smtplib.SMTPException, OSError):
        return


def _plain(text: bytes | str) -> str:
    return without_addresses(text.decode("utf-8", "replace") if isinstance(text, bytes) else text)


def open(settings: Settings, service: Service, language: str = ORIGINAL) -> Email:
    """Mail by `service.smtp` in `language`, with pictures from `service.artifacts`.

    Raises `SettingsError` for a bad address, a missing password or an unknown language.
    """
    smtp = service.smtp
    if not is_address(parseaddr(smtp.sender)[1]) or not smtp.sender.isprintable():
        raise SettingsError("smtp.sender is not a mail address")
    if smtp.user is not None:
        required_secret(smtp.password_env)
        if smtp.security == "none" and not is_loopback(smtp.host):
            raise SettingsError("smtp.security none would send the password for all to read")
    studio = studio_at(service.resolved().artifacts or "")
    words = load_language(language)
    return Email(addresses_of(settings), smtp, SystemClock(), words, studio)
