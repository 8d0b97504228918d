"""One root error. Every message is one sentence for the person who can mend it."""

from __future__ import annotations

from datetime import timedelta


class SlopewatchError(Exception):
    """Root of all errors the product raises on purpose.

    `retryable` says whether the same call may succeed later without anybody changing anything;
    `retry_after` is the wait the other side asked for, when it did.
    """

    retryable: bool = False

    def __init__(self, message: str, *, retry_after: timedelta | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class SettingsError(SlopewatchError):
    """A setting or a site file is wrong; the message names the field and what it accepts."""


class BadInputError(SlopewatchError):
    """Data that cannot be used; it goes to the dead letters and is never retried by itself."""


class NewerVersionError(SlopewatchError):
    """A known event type or state in a version this code does not read: park, then upgrade."""


class UnavailableError(SlopewatchError):
    """Something outside (network, disk, broker, artifact) is out of reach just now."""

    retryable = True


class ConflictError(SlopewatchError):
    """Another worker committed on the same state first; this one's thoughts do not count."""

    retryable = True


class ForkError(SlopewatchError):
    """One outcome number came with two ids: the site stops until a person has looked."""
