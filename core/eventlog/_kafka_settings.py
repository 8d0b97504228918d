"""What a Kafka log's URL may set, and what becomes of it in kafka-python's words."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final
from urllib.parse import parse_qsl, unquote, urlsplit

from core.errors import SettingsError
from core.eventlog._settings import positive
from core.settings import secret

PASSWORD: Final = "SLOPEWATCH_KAFKA_PASSWORD"
KEY_PASSWORD: Final = "SLOPEWATCH_KAFKA_KEY_PASSWORD"
OVERHEAD_BYTES: Final = 65_536
"""What a record may weigh on the wire beyond its key and value."""

_BATCH_BYTES: Final = 256 << 10

_SECURITY: Final = {
    "plaintext": "PLAINTEXT",
    "tls": "SSL",
    "sasl_plaintext": "SASL_PLAINTEXT",
    "sasl_tls": "SASL_SSL",
}
_MECHANISMS: Final = ("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512")
_LOGIN: Final = ("mechanism", "user")
_FILES: Final = {"ca": "ssl_cafile", "cert": "ssl_certfile", "key": "ssl_keyfile"}
_NUMBERS: Final = {
    "lease_s": 10.0,
    "poll_s": 300.0,
    "delivery_s": 20.0,
    "answer_s": 10.0,
    "max_record_bytes": 1_048_576.0,
}
_WORDS: Final = ("security", *_LOGIN, *_FILES)
_HOSTS: Final = re.compile(r"[^,:@/?#]+:[0-9]{1,5}(,[^,:@/?#]+:[0-9]{1,5})*")
_NAME: Final = re.compile(r"[A-Za-z0-9_-]{0,64}")


@dataclass(frozen=True)
class KafkaSettings:
    """The settings in `kafka://host:port[,host:port]/name?...`.

    `name` precedes the names of topics and groups. `lease_s`: a member that is not heard of for so
    many seconds loses its partitions; `poll_s`: so does one that does not poll for so long.
    `delivery_s`: how long a record may be on its way; `answer_s`: how long the broker may take for
    anything else. `max_record_bytes` bounds key and value together. `client` is what every client
    of kafka-python is given.
    """

    name: str
    lease_s: float
    poll_s: float
    delivery_s: float
    answer_s: float
    max_record_bytes: int
    client: Mapping[str, Any] = field(repr=False)

    @classmethod
    def from_url(cls, url: str) -> KafkaSettings:
        """Read the settings out of `url`, and passwords from the environment.

        SettingsError names what is wrong; neither it nor `repr` ever holds a password.
        """
        parts = urlsplit(url)
        # Errors repeat no setting as a whole: one may be a password that somebody tried there.
        url = url.partition("?")[0]
        if "@" in parts.netloc:
            raise SettingsError(
                f"the event log's url holds a login: write user=NAME behind the question mark, and "
                f"put the password into {PASSWORD}"
            )
        name = unquote(parts.path).strip("/")
        if not _HOSTS.fullmatch(parts.netloc) or not _NAME.fullmatch(name) or parts.fragment:
            raise SettingsError(
                f"event log url {url!r} takes the form kafka://host:port[,host:port]/name, the "
                "name of letters, digits, - and _"
            )
        found = dict(parse_qsl(parts.query, keep_blank_values=True))
        known = [*_WORDS, *_NUMBERS]
        if unknown := sorted(set(found) - set(known)):
            raise SettingsError(
                f"event log url {url!r}: {', '.join(unknown)} is not known; known are "
                f"{', '.join(known)}"
            )
        numbers = {
            what: positive(url, what, found.get(what, f"{default:g}"), float)
            for what, default in _NUMBERS.items()
        }
        return cls(
            name=name,
            lease_s=numbers["lease_s"],
            poll_s=numbers["poll_s"],
            delivery_s=numbers["delivery_s"],
            answer_s=numbers["answer_s"],
            max_record_bytes=int(numbers["max_record_bytes"]),
            client={
                "bootstrap_servers": parts.netloc.split(","),
                "bootstrap_timeout_ms": _ms(numbers["answer_s"]),
                "request_timeout_ms": _ms(numbers["answer_s"]),
                # A broker that comes back is met again soon, whatever the length of its absence.
                "reconnect_backoff_max_ms": 1000,
                **_security(url, found),
            },
        )

    def topic(self, plain: str) -> str:
        """The broker's name of one of our topics or groups."""
        return f"{self.name}.{plain}" if self.name else plain

    def plain(self, topic: str) -> str | None:
        """Our name of one of the broker's topics; None for somebody else's."""
        if not self.name:
            return None if topic.startswith("__") else topic
        return topic.removeprefix(f"{self.name}.") if topic.startswith(f"{self.name}.") else None

    def producer(self) -> dict[str, Any]:
        """Idempotent, every wait limited; a record above the limit is refused before."""
        answer = min(self.answer_s, self.delivery_s / 2)
        return {
            **self.client,
            "metrics_enabled": False,
            "acks": "all",
            "enable_idempotence": True,
            "request_timeout_ms": _ms(answer),
            "delivery_timeout_ms": _ms(self.delivery_s),
            "max_block_ms": _ms(self.answer_s),
            "batch_size": _BATCH_BYTES,
            "max_request_size": self.max_record_bytes + OVERHEAD_BYTES,
            "allow_auto_create_topics": False,
        }

    def consumer(self, **changes: Any) -> dict[str, Any]:
        """From the earliest record on, nothing committed by itself; a fetch of 16 MiB at most."""
        return {
            **self.client,
            "metrics_enabled": False,
            "auto_offset_reset": "earliest",
            "enable_auto_commit": False,
            "allow_auto_create_topics": False,
            "fetch_max_bytes": 16 << 20,
            "fetch_max_wait_ms": min(500, _ms(self.answer_s / 2)),
            **changes,
        }


def _ms(seconds: float) -> int:
    return max(1, round(seconds * 1000))


def _security(url: str, found: Mapping[str, str]) -> dict[str, Any]:
    chosen = found.get("security", "plaintext")
    if chosen not in _SECURITY:
        raise SettingsError(
            f"event log url {url!r}: security takes {', '.join(_SECURITY)}, not {chosen!r}"
        )
    sasl, tls = chosen.startswith("sasl"), chosen.endswith("tls")
    unused = [w for w in found if (w in _FILES and not tls) or (w in _LOGIN and not sasl)]
    if unused:
        raise SettingsError(
            f"event log url {url!r}: {', '.join(unused)} has no use with security={chosen}"
        )
    given: dict[str, Any] = {"security_protocol": _SECURITY[chosen]}
    if tls:
        given |= _certificates(url, found)
    if sasl:
        given |= _login(url, found)
    return given


def _certificates(url: str, found: Mapping[str, str]) -> dict[str, Any]:
    given: dict[str, Any] = {}
    for word, name in _FILES.items():
        if word in found:
            if not Path(found[word]).is_file():
                raise SettingsError(f"event log url {url!r}: {word}={found[word]} is no file")
            given[name] = found[word]
    if password := _hidden(url, KEY_PASSWORD):
        given["ssl_password"] = password
    return given


class Hidden(str):
    """A password; kafka-python writes all its settings into its log, at level debug."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "'hidden'"


def _hidden(url: str, name: str) -> Hidden | None:
    try:
        found = secret(name)
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(
            f"event log url {url!r}: the file that {name}_FILE names cannot be read: {error}"
        ) from None
    return Hidden(found) if found else None


def _login(url: str, found: Mapping[str, str]) -> dict[str, Any]:
    mechanism = found.get("mechanism", "SCRAM-SHA-512")
    if mechanism not in _MECHANISMS:
        raise SettingsError(
            f"event log url {url!r}: mechanism takes {', '.join(_MECHANISMS)}, not {mechanism!r}"
        )
    password = _hidden(url, PASSWORD)
    if not found.get("user") or not password:
        raise SettingsError(
            f"event log url {url!r}: a login needs user=NAME and the variable {PASSWORD} (or "
            f"{PASSWORD}_FILE)"
        )
    return {
        "sasl_mechanism": mechanism,
        "sasl_plain_username": found["user"],
        "sasl_plain_password": password,
    }
