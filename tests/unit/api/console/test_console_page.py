"""The console's page and files, and the plain words where they were not built."""

from pathlib import Path

import pytest
from fastapi import FastAPI

from api.console import page
from tests.support.api.api_client import ApiClient


@pytest.fixture
def client(tmp_path: Path) -> ApiClient:
    (tmp_path / "console").mkdir()
    (tmp_path / "index.html").write_text("<!doctype html><title>UVR</title>")
    (tmp_path / "console" / "index-1a2b.js").write_text("0")
    (tmp_path / "console" / "notes.txt").write_text("not served")
    return with_assets(tmp_path)


def with_assets(folder: Path) -> ApiClient:
    """A client of an api whose console lies in `folder`."""
    client = ApiClient(s3_bucket_name="songs", s3_public_domain="https://cdn.example.com/x")
    app: FastAPI = client.app
    installed = ("/", "/console/{name}")
    app.router.routes = [one for one in app.router.routes if getattr(one, "path", None) not in installed]
    page.install(app, folder)
    return client


def test_the_page_may_run_its_own_scripts_and_play_stems_of_the_bucket(client):
    answer = client.request("GET", "/")
    assert (answer.status, answer.headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["content-security-policy"] == page.policy("https://cdn.example.com")
    assert "unsafe" not in page.policy(None)
    assert "media-src 'self' https://cdn.example.com;" in page.policy("https://cdn.example.com")
    assert client.request("HEAD", "/").status == 200


def test_files_are_kept_for_ever_because_their_names_change(client):
    answer = client.request("GET", "/console/index-1a2b.js")
    assert (answer.status, answer.body) == (200, b"0")
    assert answer.headers["content-type"] == "text/javascript; charset=utf-8"
    assert "immutable" in answer.headers["cache-control"]


@pytest.mark.parametrize("name", ["index.html", "notes.txt", "..%2findex.html", "../index.html", "", "a/b"])
def test_nothing_else_is_served(client, name):
    assert client.request("GET", f"/console/{name}").status == 404


def test_an_api_without_a_built_console_says_so(tmp_path):
    answer = with_assets(tmp_path).request("GET", "/")
    assert (answer.status, answer.headers["content-type"]) == (404, "text/plain; charset=utf-8")
    assert b"console/build.sh" in answer.body
