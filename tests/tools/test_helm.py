"""Helm is built once; what it lacks is said."""

import subprocess
import sys

import pytest

from tests.conftest import ROOT
from tools import helm


def test_what_is_missing_is_said(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert "python -m tools.helm fetch" in helm.missing()
    helm.path().parent.mkdir(parents=True)
    helm.path().touch()
    assert helm.missing() is None
    assert helm.fetch() == helm.path()


def test_without_go_and_without_uv_it_says_what_to_do(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(helm, "_GO_ROOT", tmp_path / "go")
    monkeypatch.setattr(helm, "_UV", tmp_path / "uv")
    with pytest.raises(helm.HelmError, match="install Go"):
        helm.fetch()
    monkeypatch.setattr(helm, "_UV", tmp_path)
    assert helm._go()[-2:] == [helm.GO, "go"]


def test_a_build_that_fails_says_so_and_leaves_nothing(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(
        helm, "_go", lambda: [sys.executable, "-c", "raise SystemExit('no module')"]
    )
    with pytest.raises(helm.HelmError, match="no module"):
        helm.fetch()
    assert list(helm.path().parent.iterdir()) == []


def test_another_word_is_refused():
    command = [sys.executable, "-m", "tools.helm", "brew"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "fetch" in done.stderr
