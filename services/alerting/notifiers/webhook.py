"""Webhook: the message as JSON, signed, by HTTP POST.

The body is the same on every attempt, so a receiver can keep the first one by the header
`Idempotency-Key` (the notification's id) and drop repeats. The header `Slopewatch-Signature` is
`t=<unix seconds>,v1=<hex>`: HMAC-SHA256 with the shared secret over `<t>.<body>`. Receivers check
it with `verify_signature`. Redirects are not followed, proxies of the environment not used, and
nothing is posted to a machine of a private network unless `allow_private` says so (`peers`).

Sources: RFC 2104 (HMAC); RFC 9110 section 10.2.3 (Retry-After); the IETF draft
draft-ietf-httpapi-idempotency-key-header.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, Final
from urllib.parse import urlsplit

import msgspec
import requests
from pydantic import Field, model_validator

from core.clock import Clock, SystemClock
from core.errors import SettingsError
from core.ledger import canonical
from core.retry_after import wait_asked_for
from core.settings import Service, Tree
from services.alerting.bulletin import load_language, render
from services.alerting.message import Message
from services.alerting.notifier import (
    DeliveryError,
    Receipt,
    from_environment,
    has_variable,
    is_loopback,
    required_secret,
)
from services.alerting.peers import is_private, is_private_peer, open_session

SIGNATURE_HEADER: Final = "Slopewatch-Signature"
KEY_HEADER: Final = "Idempotency-Key"
BODY_TYPE: Final = "org.slopewatch.notification.v1"
PASSING_STATUS: Final = frozenset({408, 425, 429})
TO_MEND: Final[Mapping[int, str]] = {
    401: "make the secret the same on both sides",
    403: "make the secret the same on both sides",
    404: "set the url that the receiver has now",
    410: "set the url that the receiver has now",
}
EXAMPLE: Final[Mapping[str, Any]] = {
    "url": "https://hooks.example.org/slopewatch",
    "secret_env": "SLOPEWATCH_WEBHOOK_SECRET",
}

_SIGNATURE = re.compile(r"t=([0-9]{1,12})((?:,v1=[0-9a-f]{64}){1,4})")


class Settings(Tree):
    """Where to post, and which secret signs."""

    url: str = Field(description="https address, or ${NAME} of an environment variable")
    secret_env: str = Field(
        "SLOPEWATCH_WEBHOOK_SECRET",
        pattern=r"^[A-Za-z_][A-Za-z0-9_]*$",
        description="environment variable with the shared secret; <name>_FILE names a file",
    )
    insecure: bool = Field(False, description="allow http to another machine")
    allow_private: bool = Field(
        False,
        description="allow this machine and private networks (127.0.0.1, 10.0.0.0/8, "
        "192.168.0.0/16, fd00::/8 and the like) as the target",
    )
    timeout_s: float = Field(10.0, gt=0, le=60, description="to connect, and for each answer")

    @model_validator(mode="after")
    def _good_url(self) -> Settings:
        if not has_variable(self.url):
            fault = fault_of_url(self.url, self.insecure, allow_private=self.allow_private)
            if fault:
                raise ValueError(fault)
        return self


def fault_of_url(url: str, insecure: bool, *, allow_private: bool = False) -> str | None:
    """Why nothing may be posted to `url`, without repeating it; None when all is well.

    Names are not looked up here: where they lead is judged at each sending.
    """
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        return "url cannot be read"
    if parts.scheme not in ("https", "http") or not host or not url.isprintable() or " " in url:
        return "url must be an https:// address"
    if parts.username is not None or parts.password is not None:
        return "url must not hold a user or a password; the signature proves who sends"
    if parts.scheme == "http" and not insecure and not is_loopback(host):
        return "url must begin with https:// (or set insecure: true)"
    if not allow_private and is_private(host):
        return "url leads to this machine or a private network (or set allow_private: true)"
    return None


def sign(secret: str, timestamp: int, body: bytes) -> str:
    """Value of the signature header for `body` sent at `timestamp` (unix seconds)."""
    return f"t={timestamp},v1={_digest(secret, timestamp, body)}"


def verify_signature(
    secret: str, header: str, body: bytes, now: datetime, tolerance_s: float = 300
) -> bool:
    """Whether `header` is a signature of exactly `body`, made within `tolerance_s` of `now`.

    For receivers. Any of several `v1` may fit, so that secrets can be changed without a gap.
    """
    found = _SIGNATURE.fullmatch(header)
    if not secret or found is None:
        return False
    timestamp = int(found[1])
    wanted = _digest(secret, timestamp, body)
    fits = [hmac.compare_digest(wanted, one) for one in found[2].split(",v1=")[1:]]
    return any(fits) and abs(now.timestamp() - timestamp) <= tolerance_s


def body_of(message: Message, key: str, language: str = "en") -> bytes:
    """Canonical JSON: type, key, subject, the plain text and the message itself.

    Subject and text are in `language`; the message is the same in all.
    """
    bulletin = render(message, language)
    return canonical(
        {
            "type": BODY_TYPE,
            "key": key,
            "simulated": message.simulated,
            "subject": bulletin.subject,
            "text": bulletin.text,
            "message": msgspec.to_builtins(message, builtin_types=(datetime,)),
        }
    ).encode()


class Webhook:
    """An opened webhook. The secret is read for each sending and never kept."""

    channel = "webhook"

    def __init__(self, url: str, settings: Settings, clock: Clock, language: str = "en") -> None:
        self._url = url
        self._settings = settings
        self._clock = clock
        self._language = language

    def __repr__(self) -> str:
        return f"Webhook({urlsplit(self._url).hostname})"

    def send(self, message: Message, key: str) -> Receipt:
        """Post the message; 2xx is taken, `PASSING_STATUS`, 5xx and silence may pass by themselves,
        anything else is for somebody to mend.
        """
        body = body_of(message, key, self._language)
        now = self._clock.now()
        secret = required_secret(self._settings.secret_env)
        headers = {
            "Content-Type": "application/json",
            "User-Agent": "slopewatch",
            KEY_HEADER: key,
            SIGNATURE_HEADER: sign(secret, int(now.timestamp()), body),
        }
        try:
            status, retry_after = self._post(body, headers)
        except requests.RequestException as error:
            # Its text holds the url, which may itself be a secret.
            raise self._unreachable(error) from None
        if 200 <= status < 300:
            return Receipt(f"HTTP {status}")
        raise self._refused(status, wait_asked_for(retry_after, now))

    def _post(self, body: bytes, headers: Mapping[str, str]) -> tuple[int, str | None]:
        """Status and Retry-After of the answer; however large its body is, it is not read."""
        with (
            open_session(allow_private=self._settings.allow_private) as session,
            session.post(
                self._url,
                data=body,
                headers=headers,
                timeout=self._settings.timeout_s,
                allow_redirects=False,
                stream=True,
            ) as answer,
        ):
            return answer.status_code, answer.headers.get("Retry-After")

    def _unreachable(self, error: requests.RequestException) -> DeliveryError:
        host = urlsplit(self._url).hostname
        if is_private_peer(error):
            return DeliveryError(
                f"{host} leads to this machine or a private network: set another url, or "
                "allow_private: true",
                retryable=False,
            )
        if isinstance(error, requests.Timeout):
            return DeliveryError(f"{host} did not answer in time", retryable=True)
        if isinstance(error, requests.exceptions.SSLError):
            return DeliveryError(f"{host} has no certificate that is trusted", retryable=True)
        if isinstance(error, requests.exceptions.InvalidURL | requests.exceptions.InvalidHeader):
            return DeliveryError(
                f"{host}: the request cannot be made; set a url that works",
                retryable=False,
            )
        return DeliveryError(f"{host} is out of reach ({type(error).__name__})", retryable=True)

    def _refused(self, status: int, wait: timedelta | None) -> DeliveryError:
        host = urlsplit(self._url).hostname
        if 300 <= status < 400:
            return DeliveryError(
                f"{host} answered HTTP {status}: redirects are not followed, set the new url",
                retryable=False,
            )
        passing = status in PASSING_STATUS or status >= 500
        mend = "" if passing else TO_MEND.get(status, "ask its operator why it refuses")
        return DeliveryError(
            "; ".join(filter(None, (f"{host} answered HTTP {status}", mend))),
            retryable=passing,
            retry_after=wait,
        )


def _digest(secret: str, timestamp: int, body: bytes) -> str:
    return hmac.new(secret.encode(), f"{timestamp}.".encode() + body, hashlib.sha256).hexdigest()


def open(settings: Settings, service: Service, language: str = "en") -> Webhook:
    """The webhook. Raises `SettingsError` for a missing secret, a bad url, an unknown language."""
    load_language(language)
    required_secret(settings.secret_env)
    url = from_environment(settings.url)
    if fault := fault_of_url(url, settings.insecure, allow_private=settings.allow_private):
        raise SettingsError(f"notifier webhook: {fault}")
    return Webhook(url, settings, SystemClock(), language)
