"""The tests under a Docker engine say why they cannot run, and run everywhere else."""

import os
import shutil

import pytest

from tests.docker.debian_root import why_not


def test_without_root_there_is_no_engine(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert "root" in (why_not() or "")


def test_without_debians_packages_there_is_no_engine(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(shutil, "which", lambda name: None)
    assert "apt-get" in (why_not() or "")


def test_root_on_debian_has_an_engine(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(shutil, "which", lambda name: f"/usr/bin/{name}")
    assert why_not() is None
