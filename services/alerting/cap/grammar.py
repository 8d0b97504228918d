"""The elements of CAP 1.2 in the order of the standard: how often each may stand, what it holds.

Source: OASIS Standard CAP 1.2 (1 July 2010), section 3.2 and its schema in 3.4.
"""

from __future__ import annotations

from typing import Final, Literal, NamedTuple

from services.alerting.cap import values
from services.alerting.cap.values import Look

NAMESPACE: Final = "urn:oasis:names:tc:emergency:cap:1.2"
SIGNATURES: Final = "http://www.w3.org/2000/09/xmldsig#"

Often = Literal["once", "at most once", "any", "at least once"]


class Element(NamedTuple):
    """One element: its name, how often it stands, a look at its text or the elements in it."""

    name: str
    often: Often
    holds: Look | tuple[Element, ...]

    @property
    def required(self) -> bool:
        """Whether it must be there."""
        return self.often in ("once", "at least once")

    @property
    def single(self) -> bool:
        """Whether there may be only one."""
        return self.often in ("once", "at most once")


def _pair(name: str) -> Element:
    return Element(
        name,
        "any",
        (
            Element("valueName", "once", values.something),
            Element("value", "once", values.plain),
        ),
    )


CATEGORIES: Final = (
    *("Geo", "Met", "Safety", "Security", "Rescue", "Fire"),
    *("Health", "Env", "Transport", "Infra", "CBRNE", "Other"),
)
RESPONSES: Final = (
    *("Shelter", "Evacuate", "Prepare", "Execute", "Avoid"),
    *("Monitor", "Assess", "AllClear", "None"),
)

AREA: Final = (
    Element("areaDesc", "once", values.something),
    Element("polygon", "any", values.polygon),
    Element("circle", "any", values.circle),
    _pair("geocode"),
    Element("altitude", "at most once", values.decimal),
    Element("ceiling", "at most once", values.decimal),
)

RESOURCE: Final = (
    Element("resourceDesc", "once", values.something),
    Element("mimeType", "once", values.mime_type),
    Element("size", "at most once", values.size),
    Element("uri", "at most once", values.relative_uri),
    Element("derefUri", "at most once", values.base64),
    Element("digest", "at most once", values.free),
)

INFO: Final = (
    Element("language", "at most once", values.language),
    Element("category", "at least once", values.one_of(*CATEGORIES)),
    Element("event", "once", values.something),
    Element("responseType", "any", values.one_of(*RESPONSES)),
    Element("urgency", "once", values.one_of("Immediate", "Expected", "Future", "Past", "Unknown")),
    Element("severity", "once", values.one_of("Extreme", "Severe", "Moderate", "Minor", "Unknown")),
    Element(
        "certainty", "once", values.one_of("Observed", "Likely", "Possible", "Unlikely", "Unknown")
    ),
    Element("audience", "at most once", values.plain),
    _pair("eventCode"),
    Element("effective", "at most once", values.moment),
    Element("onset", "at most once", values.moment),
    Element("expires", "at most once", values.moment),
    Element("senderName", "at most once", values.plain),
    Element("headline", "at most once", values.plain),
    Element("description", "at most once", values.plain),
    Element("instruction", "at most once", values.plain),
    Element("web", "at most once", values.absolute_uri),
    Element("contact", "at most once", values.plain),
    _pair("parameter"),
    Element("resource", "any", RESOURCE),
    Element("area", "any", AREA),
)

ALERT: Final = (
    Element("identifier", "once", values.one_word),
    Element("sender", "once", values.one_word),
    Element("sent", "once", values.moment),
    Element("status", "once", values.one_of("Actual", "Exercise", "System", "Test", "Draft")),
    Element("msgType", "once", values.one_of("Alert", "Update", "Cancel", "Ack", "Error")),
    Element("source", "at most once", values.plain),
    Element("scope", "once", values.one_of("Public", "Restricted", "Private")),
    Element("restriction", "at most once", values.plain),
    Element("addresses", "at most once", values.plain),
    Element("code", "any", values.plain),
    Element("note", "at most once", values.plain),
    Element("references", "at most once", values.references),
    Element("incidents", "at most once", values.plain),
    Element("info", "any", INFO),
)
