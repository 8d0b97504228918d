"""CAP against the standard's own schema, and against what others publish, good and bad.

The schemas and files are read where they are recorded; nothing of them is kept here.
"""

from __future__ import annotations

from copy import deepcopy
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from lxml import etree

from core.events import LEVELS, Vote
from core.settings import Site
from services.alerting.bulletin import known_languages
from services.alerting.cap import Issuer, NotForCapError, alert_of, check, errors, write
from services.alerting.cap.grammar import NAMESPACE
from services.alerting.message import WHOLE_SITE, Message, Reference

FOLDER = "cap_google"
PARSER = etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False)

GOOD = ("43b080713727.cap", "canada.cap", "canada_signed.cap", "thunderstorm.cap")
GOOD += ("wcatwc-warning.cap",)
REFUSED = {
    "australia.cap": "holds HTML ('<br />')",
    "earthquake-iso8859-1.cap": "CAP writes UTC as -00:00",
    "KAR0-0306112239-SW.cap": "is CAP 1.1, not 1.2",
    "earthquake.cap": "is CAP 1.1, not 1.2",
    "earthquake_signed.cap": "is CAP 1.1, not 1.2",
    "no_optional_fields.cap": "is CAP 1.1, not 1.2",
    "weather.cap": "is CAP 1.1, not 1.2",
}
"""Good of its kind, and yet no CAP 1.2 by the standard's text: file -> why."""
BAD = {
    "canada_errors.cap": "alert/references names no message",
    "invalid.cap": "alert lacks scope",
    "noaa_errors.cap": "is CAP 1.1, not 1.2",
    "xee.cap": "declares a document type",
    "xee.atom": "declares a document type",
    "weather_invalid.atom": "is no CAP message: its root is 'feed'",
    "bushfire_invalid.edxlde": "is no CAP message: its root is 'EDXLDistribution'",
    "invalid.rss": "is no CAP message: its root is 'rss'",
}


@pytest.fixture(scope="module")
def folder(recorded: Path) -> Path:
    return recorded / FOLDER


@pytest.fixture(scope="module")
def schemas(folder: Path) -> list[etree.XMLSchema]:
    """The standard's schema, and the stricter one of the files' publisher."""
    names = ("cap12.xsd", "cap12_extended.xsd")
    return [etree.XMLSchema(etree.parse(str(folder / name))) for name in names]


def faults(schemas: list[etree.XMLSchema], content: bytes) -> list[str]:
    tree = etree.fromstring(content, PARSER)
    return [str(schema.error_log) for schema in schemas if not schema.validate(tree)]


@pytest.mark.parametrize("name", GOOD)
def test_good_files_pass(folder: Path, schemas: list[etree.XMLSchema], name: str) -> None:
    content = (folder / name).read_bytes()
    assert not faults(schemas, content)
    assert errors(content) == []


@pytest.mark.parametrize("name", REFUSED)
def test_files_that_the_text_of_the_standard_refuses(folder: Path, name: str) -> None:
    assert REFUSED[name] in str(errors((folder / name).read_bytes())[0])


@pytest.mark.parametrize("name", BAD)
def test_bad_files_are_refused_with_a_reason(folder: Path, name: str) -> None:
    assert BAD[name] in str(errors((folder / name).read_bytes())[0])


def test_no_file_is_left_out(folder: Path) -> None:
    alerts = {path.name for path in folder.glob("*.cap")}
    assert alerts == {*GOOD, *REFUSED, *(name for name in BAD if name.endswith(".cap"))}
    others = [path for kind in ("atom", "rss", "edxlde") for path in folder.glob(f"*.{kind}")]
    assert len(others) == 17
    assert all(errors(path.read_bytes()) for path in others)


def test_faults_of_an_old_file_are_found_behind_its_version(folder: Path) -> None:
    old = (folder / "noaa_errors.cap").read_bytes()
    said = " ".join(map(str, errors(old.replace(b"cap:1.1", b"cap:1.2"))))
    for fault in ("references names no message", "severity is ''", "polygon[2] has 0 points"):
        assert fault in said
    assert "'+40.85,-118.09,' where a latitude,longitude must be" in said


def test_the_attack_reads_nothing(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Sockets are shut for all tests; files are shut here. The canary is what the attack names."""
    attack = (folder / "xee.cap").read_bytes()
    assert b"file:///etc/passwd" in attack

    def shut(*_: object, **__: object) -> None:
        raise AssertionError("something was opened")

    with monkeypatch.context() as closed:
        for name in ("builtins.open", "io.open", "os.open", "socket.socket", "socket.getaddrinfo"):
            closed.setattr(name, shut)
        said = [str(finding) for finding in check(attack)]
    assert len(said) == 1
    assert not any("root:" in line for line in said)


# --- what we make ---------------------------------------------------------------------------------

PLAIN = st.text(max_size=40)
TEXTS = st.one_of(
    PLAIN,
    st.sampled_from(
        ["<b>Toe</b>", "x &lt; y", "a\x00b", "滑坡 体", "\u202eab", "]]>", "n" * 300, "\n"]
    ),
)
MOMENTS = st.datetimes(datetime(2015, 1, 1), datetime(2090, 1, 1), timezones=st.just(UTC))
DEGREES = st.floats(-1, 1, allow_nan=False).map(lambda x: round(x, 7))
IDS = st.from_regex(r"[A-Za-z0-9_-]{1,12}", fullmatch=True)


@st.composite
def sites(draw: st.DrawFn) -> Site:
    lon, lat = draw(st.sampled_from([(110.0, 31.0), (-179.0, -89.0), (0.0, 0.0), (178.9, 88.9)]))
    units = [
        {
            "id": unit,
            "name": draw(TEXTS),
            "polygon": [
                (lon + draw(DEGREES), lat + draw(DEGREES)) for _ in range(draw(st.integers(3, 6)))
            ],
        }
        for unit in draw(st.lists(IDS, min_size=1, max_size=3, unique=True))
    ]
    return Site.model_validate(
        {
            "name": draw(IDS),
            "title": draw(TEXTS),
            "area": (0, 0, 1, 1),
            "repeat_days": draw(st.integers(1, 40)),
            "reference": {"scene_median": True},
            "slope_units": units,
        }
    )


VOTES = st.builds(
    Vote,
    rule=st.sampled_from(["velocity", "cusum", "rain", "unheard_of"]),
    track=st.sampled_from(["84D", "-"]),
    level=st.sampled_from(LEVELS),
    calibrated=st.booleans(),
    reason=TEXTS,
    figures=st.dictionaries(st.sampled_from(["velocity_mm_yr", "odd"]), st.floats(-1e6, 1e6)),
)


@st.composite
def messages(draw: st.DrawFn, site: Site) -> Message:
    unit = draw(st.sampled_from([u.id for u in site.slope_units] + [WHOLE_SITE]))
    seqs = sorted(draw(st.sets(st.integers(0, 999), max_size=4)))
    times = sorted(draw(st.lists(MOMENTS, min_size=len(seqs), max_size=len(seqs))))
    alert = f"{site.name}.{draw(IDS)}.{seqs[0] if seqs else 7}"
    known = draw(MOMENTS)
    next_pass = st.none() | st.dates(date(2015, 1, 1), date(2090, 1, 1))
    kinds = ["level", "coverage", "escalation", "amended", "cancelled", "drill", "review"]
    return Message(
        id="0f" * 16,
        kind=draw(st.sampled_from(kinds)),
        site=site.name,
        title=site.title,
        unit=unit,
        unit_name=draw(TEXTS),
        level=draw(st.sampled_from(LEVELS)),
        previous_level=draw(st.sampled_from(LEVELS)),
        coverage=draw(st.sampled_from(["watched", "stale", "blind", "out of range"])),
        previous_coverage=draw(st.sampled_from(["watched", "blind"])),
        coverage_reason=draw(TEXTS),
        reason=draw(st.one_of(TEXTS, st.just("a long reason. " * 800))),
        votes=tuple(draw(st.lists(VOTES, max_size=3))),
        arose=known.date() - timedelta(days=draw(st.integers(0, 400))),
        known_since=known,
        late_days=draw(st.integers(0, 400)),
        next_pass=draw(next_pass),
        simulated=draw(st.booleans()),
        ledger_head=draw(st.sampled_from(["", "a1" * 32])),
        seq=draw(st.integers(1000, 10**6)),
        alert=draw(st.sampled_from([alert, ""])),
        status=draw(st.sampled_from(["actual", "exercise", "test"])),
        references=tuple(
            Reference(f"{alert}.{seq}", sent) for seq, sent in zip(seqs, times, strict=True)
        ),
        under_review=draw(st.none() | st.sampled_from(LEVELS)),
        operator=draw(TEXTS),
        note=draw(TEXTS),
        of_100=draw(st.none() | st.integers(0, 100)),
    )


SCOPES = [("Public", "", ()), ("Restricted", "police <b>only</b>", ()), ("Private", "", ("a", "b"))]


@st.composite
def issuers(draw: st.DrawFn) -> Issuer:
    scope, restriction, addresses = draw(st.sampled_from(SCOPES))
    return Issuer(
        sender=draw(st.sampled_from(["slopewatch@example.org", "example.org"])),
        sender_name=draw(TEXTS),
        languages=tuple(draw(st.permutations(known_languages()))[:2]),
        scope=scope,
        restriction=restriction,
        addresses=addresses,
        web=draw(st.sampled_from(["", "https://example.org/a?b=c&d=e"])),
        contact=draw(TEXTS),
        geocodes=draw(st.sampled_from([{}, {"ISO3166-2": "CN-HB", "own": "<i>7</i>"}])),
    )


def test_every_kind_of_message_is_valid_for_the_schema_and_for_us(
    schemas: list[etree.XMLSchema],
) -> None:
    made: dict[str, int] = {}

    @settings(max_examples=120, deadline=None, suppress_health_check=list(HealthCheck))
    @given(st.data())
    def each(data: Any) -> None:
        site = data.draw(sites())
        message = data.draw(messages(site))
        issuer = data.draw(issuers())
        try:
            alert = alert_of(message, issuer, data.draw(st.sampled_from([site, None])))
        except NotForCapError:
            made["none"] = made.get("none", 0) + 1
            return
        content = write(alert)
        assert not faults(schemas, content)
        assert errors(content) == []
        for info in alert.info:
            assert len(info.headline) <= 160
        made[alert.msg_type] = made.get(alert.msg_type, 0) + 1

    each()
    assert set(made) == {"Alert", "Update", "Cancel", "none"}


# --- we refuse whatever the schema refuses --------------------------------------------------------

ODD_TEXTS = st.one_of(
    st.sampled_from(
        [
            *("", " ", "Actual", " Actual", "actual", "2003-04-02T14:39:01Z", "en_US", "1e5"),
            *(
                "2003-04-02T14:39:01-05:00",
                "2003-04-02T14:39:01+15:00",
                "2003-02-30T00:00:00-00:00",
            ),
            *(
                "２００３-04-02T14:39:01-05:00",
                "\u00a02003-04-02T14:39:01-05:00",
                "-0001",
                "+7",
                "0x7",
            ),
            *("38.47,-120.14 38.34,-119.95", "http://[::1", "http://a/%zz", "::", "#a#b", "a:b:c"),
            *("zh-Hans", "abcdefghi", "x", "12", "NaN", "INF", "1.", ".5", "a,b,c", "http://a b/"),
        ]
    ),
    st.text(st.characters(codec="utf-8", exclude_categories=["Cs", "Cc"]), max_size=12).filter(
        lambda text: not {"\ufffe", "\uffff"} & set(text)
    ),
)


def mutated(data: Any, root: Any) -> None:
    """One random change of the tree."""
    every = [element for element in root.iter() if isinstance(element.tag, str)]
    inner = every[1:]
    element = data.draw(st.sampled_from(inner), label="element")
    parent = element.getparent()
    how = data.draw(
        st.sampled_from(["drop", "twice", "swap", "rename", "text", "attribute", "tail"])
    )
    if how == "drop":
        parent.remove(element)
    elif how == "twice":
        parent.insert(parent.index(element), deepcopy(element))
    elif how == "swap":
        parent.insert(data.draw(st.integers(0, len(parent) - 1)), element)
    elif how == "rename":
        other = data.draw(st.sampled_from(every))
        element.tag = data.draw(st.sampled_from([other.tag, f"{{{NAMESPACE}}}foo", "foo"]))
    elif how == "text":
        element.text = data.draw(ODD_TEXTS)
    elif how == "attribute":
        element.set(data.draw(st.sampled_from(["a", "{urn:x}a"])), "b")
    else:
        element.tail = data.draw(ODD_TEXTS)


def test_whatever_the_schema_refuses_we_refuse(
    folder: Path, schemas: list[etree.XMLSchema]
) -> None:
    refused = [0, 0]

    @settings(max_examples=500, deadline=None, suppress_health_check=list(HealthCheck))
    @given(st.data())
    def each(data: Any) -> None:
        name = data.draw(st.sampled_from([n for n in GOOD if "signed" not in n]))
        root = etree.fromstring((folder / name).read_bytes(), PARSER)
        for _ in range(data.draw(st.integers(1, 2))):
            mutated(data, root)
        content = etree.tostring(root, encoding="UTF-8")
        by_schema, by_us = bool(faults(schemas[:1], content)), bool(errors(content))
        assert by_us or not by_schema
        refused[0] += by_schema
        refused[1] += by_us

    each()
    assert refused[1] >= refused[0] > 100
