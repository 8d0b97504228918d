"""What the checker refuses, and that it reads nothing but what it is given."""

from __future__ import annotations

import os
import socket
import time
from pathlib import Path

import pytest
from cap_messages import ALL_CLEAR, ISSUER, RISE, SITE
from hypothesis import given, settings
from hypothesis import strategies as st

from services.alerting.cap import alert_of, check, errors, write
from services.alerting.cap.reader import MAX_BYTES, MAX_DEPTH, MAX_ELEMENTS

GOOD = write(alert_of(RISE, ISSUER, SITE)).decode()
CANCEL = write(alert_of(ALL_CLEAR, ISSUER, SITE)).decode()
INFO = GOOD[GOOD.index("<info>") : GOOD.index("</info>") + len("</info>")]
SECRET = "the-canary-sang"


def changed(old: str, new: str, text: str = GOOD) -> bytes:
    assert text.count(old) >= 1, old
    return text.replace(old, new, 1).encode()


def found(content: bytes) -> str:
    return "; ".join(map(str, errors(content)))


def test_what_we_write_is_good() -> None:
    assert check(GOOD.encode()) == []
    assert check(CANCEL.encode()) == []


REFERENCES = CANCEL[CANCEL.index("<references>") : CANCEL.index("</references>")]
AREA = "<areaDesc>Toe, Xinpu landslide</areaDesc>"
RING = "30.95,110.41 30.95,110.43 31,110.4 30.95,110.41"


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("cap:1.2", "cap:1.1", "is CAP 1.1, not 1.2"),
        ("urn:oasis:names:tc:emergency:cap:1.2", "http://www.incident.com/cap/1.0", "is CAP 1.0"),
        (' xmlns="urn:oasis:names:tc:emergency:cap:1.2"', "", "is no CAP message"),
        ("<scope>Public</scope>", "", "alert lacks scope"),
        ("<status>Actual</status>", "<status></status>", "must be one of Actual, Exercise"),
        ("<status>Actual</status>", "<status> Actual</status>", "must be one of Actual, Exercise"),
        ("<msgType>Alert</msgType>", "<msgType>Warn</msgType>", "alert/msgType is 'Warn'"),
        ("<scope>Public", "<scope>Restricted", "restriction must say to whom"),
        ("<scope>Public", "<scope>Private", "addresses must say to whom"),
        ("</scope>", "</scope><restriction>police</restriction>", "Restricted only, not Public"),
        ("<identifier>xinpu", "<identifier>xin pu", "identifier is 'xin pu.toe.412.412'"),
        ("<identifier>xinpu", "<identifier>xin,pu", "no spaces, commas, < or &"),
        ("<identifier>xinpu", "<identifier>x&lt;pu", "no spaces, commas, < or &"),
        ("<sender>slopewatch", "<sender>s&amp;w", "no spaces, commas, < or &"),
        ("<sender>slopewatch@example.org", "<sender>", "alert/sender is empty"),
        ("06:30:00-00:00</sent>", "06:30:00Z</sent>", "a date, a time and an offset"),
        ("06:30:00-00:00</sent>", "06:30:00</sent>", "a date, a time and an offset"),
        ("06:30:00-00:00</sent>", "06:30:00.5-00:00</sent>", "a date, a time and an offset"),
        ("06:30:00-00:00</sent>", "06:30:00+00:00</sent>", "CAP writes UTC as -00:00"),
        ("06:30:00-00:00</sent>", "06:30:00+15:00</sent>", "a date, a time and an offset"),
        ("2026-03-14T06:30:00-00:00</sent>", "2026-02-30T06:30:00-00:00</sent>", "a date, a time"),
        ("<sent>", "<sent>\u00a0", "a date, a time and an offset"),
        ("<sent>2026", "<sent>٢٠٢٦", "a date, a time and an offset"),
        ("<language>en<", "<language>english<", "write a language tag"),
        ("<language>en<", "<language>en_US<", "write a language tag"),
        ("<language>en<", "<language><", "language is '': write a language tag"),
        ("<category>Geo</category>", "", "lacks category"),
        ("<category>Geo</category>", "<category>Earth</category>", "one of Geo, Met"),
        ("<severity>Extreme</severity>", "<severity/>", "alert/info[1]/severity is ''"),
        ("<event>Slope instability<", "<event> <", "event is empty"),
        ("<event>", "<urgency>Past</urgency><event>", "stands twice: once is allowed"),
        ("<event>", "<headline>x</headline><event>", "stands after headline"),
        ("<event>", "<colour>red</colour><event>", "/colour is no element of CAP"),
        ("<event>", '<event xmlns="urn:x">', "is no element of CAP 1.2 here"),
        ("<event>", "<event><b>x</b>", "holds an element b: text must be there"),
        ("<event>", '<event lang="en">', "has an attribute 'lang'"),
        ("<event>", "loose words<event>", "has text between its elements: 'loose words'"),
        ("<headline>", "<headline>&lt;b>", "holds HTML ('<b>')"),
        ("<headline>", "<headline><![CDATA[<br/>]]>", "holds HTML ('<br/>')"),
        ("<headline>", "<headline>a &amp;nbsp; b", "holds an HTML entity"),
        ("</instruction>", "</instruction><web>www.example.org</web>", "write it whole"),
        ("</instruction>", "</instruction><web>/page</web>", "write it whole"),
        ("</instruction>", "</instruction><web>https://</web>", "write it whole"),
        ("</instruction>", "</instruction><web>https://a b</web>", "which is no address"),
        ("</instruction>", "</instruction><web/>", "web is empty"),
        (RING, RING.removesuffix(" 30.95,110.41"), "has 3 points"),
        (RING, RING.replace("30.95,110.41", "30.96,110.41", 1), "is not closed"),
        (RING, "", "has 0 points"),
        (RING, RING.replace("31,110.4 ", "91,110.4 "), "latitude is within 90"),
        (RING, RING.replace("31,110.4 ", "31,180.1 "), "longitude within 180"),
        (RING, RING.replace("31,110.4 ", "31,110.4, "), "'31,110.4,' where a latitude,longitude"),
        (RING, RING.replace("31,110.4 ", "31;110.4 "), "where a latitude,longitude"),
        ("</polygon>", "</polygon><circle>31,110</circle>", "latitude,longitude radius"),
        ("</polygon>", "</polygon><circle>31,110 -2</circle>", "negative radius"),
        ("</polygon>", "</polygon><circle>31,190 2</circle>", "longitude within 180"),
        ("</polygon>", "</polygon><ceiling>900</ceiling>", "needs an altitude beside it"),
        ("</polygon>", "</polygon><altitude>1e3</altitude>", "write a number"),
        (
            "</polygon>",
            "</polygon><altitude>900</altitude><ceiling>800</ceiling>",
            "is lower than the altitude",
        ),
        (AREA, "", "area[1] lacks areaDesc"),
        (AREA, "<areaDesc/>", "areaDesc is empty"),
    ],
)
def test_what_is_wrong_is_said(old: str, new: str, says: str) -> None:
    content = changed(old, new)
    assert says in found(content)
    assert all(finding.line > 0 or not finding.where for finding in check(content))


RESOURCE = "<resource><resourceDesc>map</resourceDesc><mimeType>image/png</mimeType>{}</resource>"


@pytest.mark.parametrize(
    ("more", "says"),
    [
        ("<uri>https://example.org/map.png</uri>", ""),
        ("<uri>map.png</uri><derefUri>aGVs\nbG8=</derefUri>", ""),
        ("<uri>map.png</uri>", "is relative"),
        ("<uri>map.png</uri><derefUri>!</derefUri>", "is no base64"),
        ("<size>-1</size>", "write whole bytes"),
        ("<size>1.5</size>", "write whole bytes"),
    ],
)
def test_resources(more: str, says: str) -> None:
    answer = found(changed("<area>", RESOURCE.format(more) + "<area>"))
    assert says in answer
    assert bool(answer) == bool(says)


def test_a_resource_has_a_media_type() -> None:
    resource = RESOURCE.format("").replace("image/png", "picture")
    assert "write a media type" in found(changed("<area>", f"{resource}<area>"))


ITSELF = "slopewatch@example.org,xinpu.toe.412.441,2026-03-30T06:30:00-00:00"
ONE = "slopewatch@example.org,xinpu.toe.412.412,2026-03-14T06:30:00-00:00"


@pytest.mark.parametrize(
    ("references", "says"),
    [
        ("", "names no message"),
        ("xinpu.toe.412.412", "where sender,identifier,sent must be"),
        (ONE.replace("-00:00", "Z"), "where sender,identifier,sent must be"),
        (ITSELF, "names the message itself"),
        (ONE.replace("03-14", "03-31"), "was sent later than this message"),
        (f"{ONE} {ONE}", "names 'xinpu.toe.412.412' 2 times"),
        (f"{ONE}\n  {ONE.replace('412,', '413,').replace('03-14', '03-30')}", ""),
    ],
)
def test_references(references: str, says: str) -> None:
    answer = found(changed(REFERENCES, f"<references>{references}", CANCEL))
    assert says in answer
    assert bool(answer) == bool(says)


@pytest.mark.parametrize("kind", ["Update", "Cancel", "Ack", "Error"])
def test_what_speaks_of_earlier_messages_names_them(kind: str) -> None:
    assert "references must name" in found(changed("Type>Alert<", f"Type>{kind}<"))


@pytest.mark.parametrize(
    "tag",
    ["en", "en-US", "zh-Hans-CN", "es-419", "sl-rozaj-biske", "de-CH-1996", "x-own", "i-klingon"],
)
def test_language_tags_that_are_right(tag: str) -> None:
    assert not errors(changed("<language>en<", f"<language>{tag}<"))


@pytest.mark.parametrize("tag", ["e", "en-", "-en", "en-x", "deutsch", "en US", "en-abcdefghi"])
def test_language_tags_that_are_not(tag: str) -> None:
    assert "write a language tag" in found(changed("<language>en<", f"<language>{tag}<"))


def test_empty_optional_texts_say_nothing_wrong() -> None:
    assert not errors(changed("</scope>", "</scope><restriction/><addresses/><note/>"))


def test_advice_does_not_refuse() -> None:
    for old, new, says in (
        ("<headline>", f"<headline>{'long ' * 40}", "longer than 160"),
        ("<expires>2026-06-12", "<expires>2026-03-10", "expires before it begins"),
        ("<status>Actual", "<status>Exercise", "is an exercise: name it in note"),
        (INFO, "", "has no info"),
    ):
        findings = check(changed(old, new))
        assert [f.kind for f in findings] == ["advice"]
        assert says in str(findings[0])


SIGNATURE = (
    '<Signature xmlns="http://www.w3.org/2000/09/xmldsig#"><any a="b"><c/></any></Signature>'
)


def test_signatures_are_let_through_at_the_end_only() -> None:
    assert not check(changed("</alert>", f"{SIGNATURE}{SIGNATURE}</alert>"))
    assert "stands after Signature" in found(changed("<info>", f"{SIGNATURE}<info>"))
    assert "no element of CAP" in found(changed("<event>", f"{SIGNATURE}<event>"))


def test_schema_locations_are_no_fault_and_nil_is() -> None:
    xsi = 'xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"'
    assert not errors(changed("<alert ", f'<alert {xsi} xsi:schemaLocation="a b" '))
    assert "has an attribute" in found(changed("<note", f'<note {xsi} xsi:nil="true"', NOTED))


NOTED = GOOD.replace("<incidents>", "<note>seen</note><incidents>")


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "iso-8859-1", "cp1252"])
def test_encodings(encoding: str) -> None:
    text = GOOD.replace("Toe", "Zehe ß").replace('"UTF-8"', f'"{encoding.removesuffix("-sig")}"')
    assert not check(text.encode(encoding))


@pytest.mark.parametrize("encoding", ["no-such", "gb18030", "utf-7"])
def test_an_encoding_that_is_not_read_is_refused(encoding: str) -> None:
    assert errors(GOOD.replace('"UTF-8"', f'"{encoding}"').encode())


def hostile(declarations: str, use: str = "&canary;") -> bytes:
    text = changed("<event>", f"<event>{use}").decode()
    return text.replace("?>\n", f"?>\n<!DOCTYPE alert {declarations}>\n", 1).encode()


def assert_refused_at_the_document_type(content: bytes) -> None:
    findings = check(content)
    assert ["declares a document type" in f.sentence for f in findings] == [True]
    assert SECRET not in str(findings)


@pytest.mark.parametrize(
    "declarations",
    [
        '[<!ENTITY canary SYSTEM "{uri}">]',
        '[<!ENTITY % canary SYSTEM "{uri}"> %canary;]',
        'SYSTEM "{uri}"',
        'PUBLIC "-//A//B//EN" "{uri}"',
    ],
)
def test_no_other_file_is_read(declarations: str, tmp_path: Path) -> None:
    """Opening a pipe that nobody writes to blocks: who reads it never comes back."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    assert_refused_at_the_document_type(hostile(declarations.format(uri=pipe.as_uri())))
    plain = tmp_path / "plain"
    plain.write_text(SECRET)
    assert_refused_at_the_document_type(hostile(declarations.format(uri=plain.as_uri())))


def test_no_address_is_asked() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0.2)
        uri = f"http://127.0.0.1:{server.getsockname()[1]}/x"
        assert_refused_at_the_document_type(hostile(f'[<!ENTITY canary SYSTEM "{uri}">]'))
        xinclude = f'<xi:include xmlns:xi="http://www.w3.org/2001/XInclude" href="{uri}"/>'
        assert errors(changed("<event>", f"{xinclude}<event>"))
        assert not errors(changed("?>\n", f'?>\n<?xml-stylesheet href="{uri}"?>\n'))
        with pytest.raises(TimeoutError):
            server.accept()


def test_an_entity_that_grows_is_refused_before_it_is_looked_at() -> None:
    laughs = '<!ENTITY a0 "ha">' + "".join(
        f'<!ENTITY a{n} "{f"&a{n - 1};" * 10}">' for n in range(1, 30)
    )
    assert_refused_at_the_document_type(hostile(f"[{laughs}]", "&a29;"))


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "no element found"),
        (b"<alert>", "no well-formed XML"),
        (b"\x00\xff", "no well-formed XML"),
        (b"<a/><b/>", "no well-formed XML"),
        (b"<x:a/>", "no well-formed XML"),
    ],
)
def test_what_is_no_message_at_all(content: bytes, says: str) -> None:
    (only,) = check(content)
    assert says in only.sentence


def test_what_is_too_much_is_refused() -> None:
    assert "more than 4 MiB" in found(b" " * (MAX_BYTES + 1))
    assert f"nested deeper than {MAX_DEPTH}" in found(b"<a>" * (MAX_DEPTH + 2))
    assert "more than 50000 elements" in found(b"<a>" + b"<b/>" * MAX_ELEMENTS + b"</a>")


@pytest.mark.parametrize(
    "part", ["&lt;", "&lt;a", "&lt; ", "x<!---->", "&amp;", "&amp;a", " ", "1,", "1,1 "]
)
@pytest.mark.parametrize("element", ["headline", "polygon", "references", "language", "web"])
def test_no_text_takes_long(part: str, element: str) -> None:
    text = part * (3_900_000 // len(part))
    parts = {
        "headline": ("<headline>", "<headline>"),
        "polygon": (f"<polygon>{RING}", "<polygon>"),
        "references": ("<incidents>", "<references>{}</references><incidents>"),
        "language": ("<language>en", "<language>"),
        "web": ("</instruction>", "</instruction><web>{}</web>"),
    }
    old, new = parts[element]
    content = changed(old, new.format(text) if "{}" in new else new + text)
    assert len(content) <= MAX_BYTES
    started = time.process_time()
    findings = check(content)
    assert time.process_time() - started < 5
    assert sum(len(str(f)) for f in findings) < 30_000


def test_findings_are_bounded_and_printable() -> None:
    findings = check(changed("<event>", "<urgency>\u202e\x7f</urgency>" * 500 + "<event>"))
    assert len(findings) == 100
    assert "findings more" in findings[-1].sentence
    assert all(str(finding).isprintable() for finding in findings)


@settings(max_examples=150, deadline=None)
@given(st.binary(max_size=200), st.integers(0, len(GOOD) - 1), st.integers(0, 40))
def test_it_never_raises(junk: bytes, place: int, cut: int) -> None:
    content = GOOD.encode()
    check(junk)
    check(content[:place] + junk + content[place + cut :])
