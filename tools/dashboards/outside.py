"""What goes wrong outside in the season of dashboards: a dead webhook, sites in the dark."""

from __future__ import annotations

import base64
import ipaddress
import json
import math
import ssl
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import NamedTuple

import yaml
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

HOST = "127.0.0.1"
HISTORY_D, REPEAT_D = 100, 12
VALID_FOR = timedelta(days=40)
LOS = (-0.61, -0.14, 0.78)
WEST, SOUTH = 110.2, 31.2


class Webhook(NamedTuple):
    """A server that answers every message with an error.

    `certificate`: its own, in a file; `token`: a JSON web token that says until when it is valid.
    """

    url: str
    certificate: Path
    token: str


@contextmanager
def dead_webhook(folder: Path) -> Iterator[Webhook]:
    """Serve until the end of the context."""
    certificate, key = _certificate(folder)
    server = ThreadingHTTPServer((HOST, 0), _Refusing)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    server.handle_error = lambda *_: None  # type: ignore[method-assign]  # senders break off
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield Webhook(f"https://{HOST}:{server.server_address[1]}/", certificate, _token())
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class _Refusing(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        self.send_error(503)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def _certificate(folder: Path) -> tuple[Path, Path]:
    """A certificate of this machine's address, signed by itself, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "night desk")])
    now = datetime.now(UTC)
    address = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(HOST))])
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + VALID_FOR)
        .add_extension(address, critical=False)
        .sign(key, hashes.SHA256())
    )
    paths = folder / "night-desk.crt", folder / "night-desk.key"
    paths[0].write_bytes(made.public_bytes(serialization.Encoding.PEM))
    form = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    paths[1].touch(mode=0o600)
    paths[1].write_bytes(key.private_bytes(serialization.Encoding.PEM, *form))
    return paths


def _token() -> str:
    """A token of nobody's that says until when it is valid."""
    expiry = int((datetime.now(UTC) + VALID_FOR).timestamp())
    parts = ({"alg": "none"}, {"exp": expiry}, "unsigned")
    coded = (base64.urlsafe_b64encode(json.dumps(part).encode()).decode() for part in parts)
    return ".".join(one.rstrip("=") for one in coded)


def small_site(sites: Path, folder: Path, name: str, title: str, last: date) -> None:
    """A site whose files are read from this machine; `last` is its newest epoch.

    Two slope units, six points, rain from a table with one row that cannot be used.
    """
    first = last - timedelta(days=HISTORY_D)
    tables = folder / "tables" / name
    tables.mkdir(parents=True)
    places = {"r1": (WEST, SOUTH), "r2": (WEST + 0.008, SOUTH)}
    places |= {f"p{i}": (WEST + 0.025 + 0.015 * i, SOUTH + 0.05) for i in range(4)}
    _write(
        tables / "points.csv",
        [["id", "longitude", "latitude", "los_east", "los_north", "los_up"]]
        + [[point, *place, *LOS] for point, place in places.items()],
    )
    _write(tables / "displacement.csv", [["date", *places], *_epochs(first, last, len(places))])
    rain = [[day, f"{3 + 3 * math.sin(n / 5):.1f}"] for n, day in enumerate(_days(first, last, 1))]
    rain[3][1] = "-7"
    _write(tables / "rain.csv", [["day", "rain"], *rain])
    tree = _tree(name, title, first, tables)
    path = sites / f"{name}.yaml"
    path.write_text(yaml.safe_dump(tree, sort_keys=False, allow_unicode=True), encoding="utf-8")


def _epochs(first: date, last: date, points: int) -> Iterator[list[object]]:
    """A row a pass: firm ground stands still, the others creep away from the satellite."""
    for n, day in enumerate(_days(first, last, REPEAT_D)):
        moved = [0.0, 0.0, *(-0.4 * n - 0.1 * point for point in range(points - 2))]
        yield [day, *(f"{value + 0.3 * math.sin(7 * n + value):.2f}" for value in moved)]


def _days(first: date, last: date, step: int) -> Iterator[str]:
    """Every `step`-th day back from `last`, the oldest first."""
    count = (last - first).days // step
    return ((last - timedelta(days=step * k)).isoformat() for k in range(count, -1, -1))


def _tree(name: str, title: str, first: date, tables: Path) -> dict[str, object]:
    east, north = WEST + 0.1, SOUTH + 0.1
    halves = {"west": (WEST + 0.02, WEST + 0.055), "east": (WEST + 0.055, WEST + 0.09)}
    return {
        "name": name,
        "title": title,
        "area": [WEST, SOUTH, east, north],
        "simulated": True,
        "history_from": first.isoformat(),
        "repeat_days": REPEAT_D,
        "reference": {"box": [WEST - 0.001, SOUTH - 0.001, WEST + 0.01, SOUTH + 0.01]},
        "slope_units": [
            {
                "id": half,
                "name": f"{half} half",
                "polygon": [[a, SOUTH], [b, SOUTH], [b, north], [a, north]],
                "flank_pixels": None,
            }
            for half, (a, b) in halves.items()
        ],
        "feeds": [
            {
                "kind": "table",
                "at": str(tables / "rain.csv"),
                "quantity": "rain",
                "station": "gauge",
                "date_column": "day",
                "value_column": "rain",
                "unit": "mm",
            }
        ],
        "sources": [
            {
                "kind": "table",
                "where": str(tables / "displacement.csv"),
                "track": "T1",
                "layout": "epochs",
                "points": str(tables / "points.csv"),
                "point_columns": {"id": "id"},
            }
        ],
        "recipients": [{"id": "duty", "notifier": {"kind": "email", "to": ["duty@example.org"]}}],
    }


def _write(path: Path, rows: Iterable[Sequence[object]]) -> None:
    text = "".join(",".join(str(cell) for cell in row) + "\n" for row in rows)
    path.write_text(text, encoding="utf-8")
