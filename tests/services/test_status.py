"""The status server: metrics, health, readiness, page."""

from __future__ import annotations

import socket

import pytest
import requests

from core.errors import SlopewatchError, UnavailableError
from core.telemetry import METRICS, Telemetry
from services.status import StatusServer


def get(server: StatusServer, path: str) -> requests.Response:
    with requests.Session() as session:
        return session.get(server.url + path, timeout=5)


def test_every_metric_is_served() -> None:
    telemetry = Telemetry()
    telemetry.dead_letters.labels("inference", "D01").inc()
    telemetry.watched(1.0, 0)
    with StatusServer("127.0.0.1", 0, telemetry, list) as server:
        text = get(server, "/metrics").text
    for metric in METRICS:
        assert metric.name.removesuffix("_total") in text
    assert 'slopewatch_dead_letters_total{code="D01",stage="inference"} 1.0' in text


def test_readiness_names_what_is_missing() -> None:
    missing = ["inference: state folder held by process 7"]
    with StatusServer("127.0.0.1", 0, Telemetry(), lambda: missing) as server:
        assert get(server, "/healthz").status_code == 200
        answer = get(server, "/readyz")
        assert (answer.status_code, answer.text) == (503, missing[0])
        missing.clear()
        assert get(server, "/readyz").status_code == 200
        assert get(server, "/elsewhere").status_code == 404


def test_a_loop_that_hangs_is_named_by_health_alone() -> None:
    hung: list[str] = []
    with StatusServer("127.0.0.1", 0, Telemetry(), list, hung=lambda: hung) as server:
        assert get(server, "/healthz").text == "ok\n"
        hung.append("inference has not passed")
        answer = get(server, "/healthz")
        assert (answer.status_code, answer.text) == (503, hung[0])
        assert get(server, "/readyz").status_code == 200


def test_the_page_is_served_or_says_why_not() -> None:
    def broken() -> str:
        raise SlopewatchError("no site file in sites")

    with StatusServer("127.0.0.1", 0, Telemetry(), list, lambda: "<p>page</p>") as server:
        assert get(server, "/").text == "<p>page</p>"
    with StatusServer("127.0.0.1", 0, Telemetry(), list, broken) as server:
        answer = get(server, "/")
    assert (answer.status_code, answer.text) == (503, "no site file in sites")


def test_a_page_that_breaks_is_an_answer_without_its_secrets() -> None:
    def broken() -> str:
        raise ValueError("hidden")

    with StatusServer("127.0.0.1", 0, Telemetry(), list, broken) as server:
        answer = get(server, "/")
    assert (answer.status_code, answer.text) == (500, "the page broke: ValueError\n")


def test_a_client_that_says_nothing_is_let_go(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.status.SLOWEST_CLIENT_S", 0.1)
    with (
        StatusServer("127.0.0.1", 0, Telemetry(), list) as server,
        socket.create_connection(("127.0.0.1", int(server.url.rpartition(":")[2])), 5) as silent,
    ):
        assert silent.recv(1) == b""


def test_a_taken_port_is_a_sentence() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(UnavailableError, match=f"cannot listen on 127.0.0.1:{port}"):
            StatusServer("127.0.0.1", port, Telemetry(), list)
