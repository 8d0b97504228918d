"""CAP 1.2 (Common Alerting Protocol): messages for the machines of civil protection.

`alert_of` makes a CAP message of a message, `write` its bytes, `check` says what is wrong with a
file that anybody wrote, `Folder` keeps messages and their Atom feed.
"""

from __future__ import annotations

from services.alerting.cap.builder import Issuer, NotForCapError, alert_of, identifier
from services.alerting.cap.checker import Finding, check, errors
from services.alerting.cap.folder import Folder
from services.alerting.cap.model import Alert, write

__all__ = [
    "Alert",
    "Finding",
    "Folder",
    "Issuer",
    "NotForCapError",
    "alert_of",
    "check",
    "errors",
    "identifier",
    "write",
]
