"""One Prometheus of Debian's package: scrapes what it is told to on this machine alone."""

from __future__ import annotations

import json
import shutil
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from tools.engine.process import HOST, EngineError, Server, listens

JOB = "slopewatch"


def missing() -> str | None:
    """What this machine lacks to run a server; None when nothing."""
    return None if shutil.which("prometheus") else "no Prometheus on this machine"


class Prometheus(Server):
    """A server that scrapes `targets`, services and their addresses, and evaluates `rules`.

    Everything is scraped and evaluated every `pace_s` seconds (whole ones). The data lie in
    `folder`.
    """

    name = "prometheus"

    def __init__(
        self,
        folder: Path,
        targets: Mapping[str, str],
        rules: Sequence[Path] = (),
        *,
        pace_s: int = 1,
        port: int | None = None,
    ) -> None:
        super().__init__(folder, port)
        self._targets = targets
        self._rules = rules
        self._pace_s = pace_s

    def prepare(self) -> None:
        """Write the settings."""
        pace = f"{self._pace_s}s"
        labelled = [
            {"targets": [address], "labels": {"service": service}}
            for service, address in self._targets.items()
        ]
        settings = {
            "global": {
                "scrape_interval": pace,
                "scrape_timeout": pace,
                "evaluation_interval": pace,
            },
            "rule_files": [str(path) for path in self._rules],
            "scrape_configs": [{"job_name": JOB, "static_configs": labelled}],
        }
        self._settings.write_text(yaml.safe_dump(settings), encoding="utf-8")

    def command(self) -> Sequence[str]:
        """The server."""
        return [
            "prometheus",
            f"--config.file={self._settings}",
            f"--storage.tsdb.path={self.folder / 'data'}",
            f"--web.listen-address={self.address}",
            "--log.level=warn",
        ]

    def answers(self) -> bool:
        """Whether it is ready."""
        if not listens(self.port):
            return False
        try:
            urllib.request.urlopen(f"http://{self.address}/-/ready", timeout=5).close()
        except (urllib.error.URLError, TimeoutError):
            return False
        return True

    def instant(self, expr: str, at: float) -> list[dict[str, Any]]:
        """The series of `expr` at a moment (seconds since 1970), each with `metric`, `value`."""
        return self._result("query", query=expr, time=at)

    def graph(self, expr: str, since: float, until: float, step_s: float) -> list[dict[str, Any]]:
        """The series of `expr` over a time, each with `metric` and `values`."""
        return self._result("query_range", query=expr, start=since, end=until, step=step_s)

    def label_values(self, metric: str, label: str) -> list[str]:
        """All values of a label of a metric."""
        answer = self.ask(f"label/{label}/values", **{"match[]": metric})
        return [str(value) for value in answer]

    def ask(self, path: str, **fields: object) -> Any:
        """The data that the API answers; `EngineError` with its words if it refuses."""
        asked = urllib.parse.urlencode({name: str(value) for name, value in fields.items()})
        try:
            address = f"http://{HOST}:{self.port}/api/v1/{path}?{asked}"
            with urllib.request.urlopen(address, timeout=30) as reply:
                return json.load(reply)["data"]
        except urllib.error.HTTPError as error:
            raise EngineError(f"{self.name} refuses {fields}: {error.read().decode()}") from error

    def _result(self, path: str, **fields: object) -> list[dict[str, Any]]:
        found = self.ask(path, **fields)["result"]
        return list(found)

    @property
    def _settings(self) -> Path:
        return self.folder / "prometheus.yml"
