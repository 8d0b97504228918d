"""What a log's URL may set."""

from __future__ import annotations

import math
from dataclasses import dataclass
from urllib.parse import parse_qsl, unquote, urlsplit

from core.errors import SettingsError


@dataclass(frozen=True)
class LogSettings:
    """The settings in a log's URL: `scheme://host/path?max_record_bytes=...&lease_s=...`.

    `max_record_bytes` bounds key and value of one record together, in bytes; `lease_s` is how
    many seconds a consumer may be silent before its partitions move.
    """

    host: str
    path: str
    max_record_bytes: int = 1_048_576
    lease_s: float = 10.0

    @classmethod
    def from_url(cls, url: str) -> LogSettings:
        """Read the settings out of `url`; SettingsError names what is wrong in it."""
        parts = urlsplit(url)
        found = dict(parse_qsl(parts.query, keep_blank_values=True))
        unknown = sorted(set(found) - {"max_record_bytes", "lease_s"})
        if unknown or parts.fragment:
            what = ", ".join(unknown) or f"#{parts.fragment}"
            raise SettingsError(
                f"event log url {url!r}: {what} is not known; known are max_record_bytes, lease_s"
            )
        return cls(
            host=parts.netloc,
            path=unquote(parts.path),
            max_record_bytes=int(
                positive(url, "max_record_bytes", found.get("max_record_bytes", "1048576"), int)
            ),
            lease_s=positive(url, "lease_s", found.get("lease_s", "10"), float),
        )


def positive(url: str, name: str, text: str, kind: type[int] | type[float]) -> float:
    """A number above 0 that `url` sets; SettingsError for anything else."""
    try:
        number = kind(text)
    except ValueError:
        number = 0
    if not (number > 0 and math.isfinite(number)):
        word = "whole number" if kind is int else "number"
        raise SettingsError(f"event log url {url!r}: {name} takes a {word} above 0, not {text!r}")
    return number
