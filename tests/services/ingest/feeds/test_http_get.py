"""The one way to get a document: bounded, tried again, and silent about secrets."""

import gzip
from datetime import timedelta

import pytest

from core.errors import BadInputError, SettingsError, UnavailableError
from services.ingest import http


def test_a_document_and_who_asks(server):
    server.files({"/a": b"body"})
    assert http.get(server.url + "/a", {"x": "1 2"}) == b"body"
    assert server.requests[0].headers["User-Agent"] == "slopewatch"
    assert server.requests[0].fields == [("x", "1 2")]


def test_a_passing_failure_is_tried_again(server, reply):
    answers = [reply(503), reply(200, b"cut", announce=10), reply(200, b"whole")]
    server.answer = lambda _: answers[len(server.requests) - 1]
    assert http.get(server.url) == b"whole"


def test_a_lasting_failure_is_unavailable(server, reply):
    server.answer = lambda _: reply(500)
    with pytest.raises(UnavailableError, match="answers 500"):
        http.get(server.url)
    assert len(server.requests) == http.ATTEMPTS


def test_a_wait_that_is_asked_for_is_honoured(server, reply):
    server.answer = lambda _: reply(429, b"", {"Retry-After": "90"})
    with pytest.raises(UnavailableError) as raised:
        http.get(server.url)
    assert raised.value.retry_after == timedelta(seconds=90)
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    ("status", "error"), [(404, http.MissingError), (410, http.MissingError), (403, SettingsError)]
)
def test_refusals_are_final_and_keep_secrets(server, reply, status, error):
    server.answer = lambda _: reply(status)
    address = server.url.replace("http://", "http://user:pw@") + "/x?key=abc"
    with pytest.raises(error) as raised:
        http.get(address)
    assert len(server.requests) == 1
    assert "pw" not in str(raised.value)
    assert "abc" not in str(raised.value)


def test_too_long_a_document_is_cut_even_when_packed(server, reply, monkeypatch):
    monkeypatch.setattr(http, "MAX_BYTES", 1 << 20)
    packed = gzip.compress(bytes(8 << 20))
    assert len(packed) < 1 << 16
    server.answer = lambda _: reply(200, packed, {"Content-Encoding": "gzip"})
    with pytest.raises(BadInputError, match="over 1 MiB"):
        http.get(server.url)


def test_a_trickle_has_an_end(server, monkeypatch):
    monkeypatch.setattr(http, "WHOLE_TIMEOUT_S", -1.0)
    server.files({"/": b"slow"})
    with pytest.raises(UnavailableError, match="too slowly"):
        http.get(server.url + "/")


@pytest.mark.parametrize("url", ["ftp://127.0.0.1/a", "http://", "nonsense"])
def test_an_address_that_is_none(url):
    with pytest.raises(SettingsError, match="cannot be asked"):
        http.get(url)


def test_endless_redirects(server, reply):
    server.answer = lambda _: reply(302, b"", {"Location": "/again"})
    with pytest.raises(SettingsError, match="TooManyRedirects"):
        http.get(server.url)


def test_nobody_there():
    with pytest.raises(UnavailableError, match="does not answer"):
        http.get("http://127.0.0.1:9/")
