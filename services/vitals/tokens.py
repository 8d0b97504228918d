"""Until when tokens are valid, as those say themselves that are JSON web tokens (RFC 7519).

NASA's Earthdata gives such tokens, valid for 60 days
(https://urs.earthdata.nasa.gov/documentation/for_users/user_token). Nothing of a token is shown but
its `exp`; its signature is its receiver's to check.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

import msgspec

from core.figures import Figure
from core.settings import secret
from services.vitals.look import Fault
from services.vitals.named import fault_of_secret, secrets_named

if TYPE_CHECKING:
    from services.compose import Slopewatch
    from services.vitals.sites import Sites

LONGEST: Final = 16384


class _Claims(msgspec.Struct):
    exp: float


class Tokens:
    """Of every secret that the settings name."""

    name = "tokens"
    every_s = 600.0
    lasting = True

    def __init__(self, app: Slopewatch, sites: Sites) -> None:
        self._app = app
        self._sites = sites

    def look(self) -> Iterator[Figure | Fault]:
        """See `Look.look`. A secret that is not set here may be another service's."""
        for name in secrets_named(self._app.service, self._sites.watched()):
            expiry = None if fault_of_secret(name) else expiry_of(secret(name) or "")
            if expiry is not None:
                yield Figure(self._app.telemetry.token_expiry, (name,), expiry.timestamp())


def expiry_of(token: str) -> datetime | None:
    """Until when `token` is valid, None where it does not say."""
    parts = token.split(".")
    if len(parts) != 3 or len(token) > LONGEST:
        return None
    try:
        padded = parts[1] + "=" * (-len(parts[1]) % 4)
        claims = msgspec.json.decode(
            base64.b64decode(padded, altchars=b"-_", validate=True), type=_Claims
        )
        return datetime.fromtimestamp(claims.exp, UTC)
    except (binascii.Error, ValueError, OverflowError, OSError):
        return None
