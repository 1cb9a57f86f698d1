"""The documents against the code: settings, error codes, metrics and modules that they must name."""

import os
import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
import requests
import typer
from standardwebhooks import Webhook

from api.metrics import ApiMetrics
from common.errors import ErrorCode
from common.failpoint import Failpoint
from common.settings.schema import ApiSettings, ProcessorSettings, UploaderSettings
from processor.metrics import ProcessorMetrics
from tests.support import documents
from tests.support.documents import PAGES, name_of
from tests.support.paths import REPOSITORY
from tests.support.waiting import wait_for
from uploader.metrics import UploaderMetrics
from uvr_client.command import app

README = (REPOSITORY / "README.md").read_text()
GUIDE = (REPOSITORY / "KAFKA_CONSUMER.md").read_text()
API = (REPOSITORY / "docs" / "api.md").read_text()
SETTINGS = (REPOSITORY / "docs" / "settings.md").read_text()
ARCHITECTURE = (REPOSITORY / "docs" / "architecture.md").read_text()
MONITORING = (REPOSITORY / "docs" / "monitoring.md").read_text()
FOR_CONTRIBUTORS = [REPOSITORY / name for name in ("CONTRIBUTING.md", "CHANGELOG.md")]
EVERYTHING = "\n".join(page.read_text() for page in PAGES)

PRODUCT = [
    path
    for folder in ("api", "common", "processor", "uploader")
    for path in (REPOSITORY / folder).rglob("*.py")
]

# Codes of our own records, which a user never sees in a failure callback.


def variables() -> set[str]:
    names = set()
    for kind in (ApiSettings, ProcessorSettings, UploaderSettings):
        for name, field in kind.model_fields.items():
            alias = field.validation_alias
            names.add((alias.choices[0] if alias else name).upper())
    return names


def test_every_setting_is_in_the_table():
    assert variables()
    assert [name for name in variables() if f"`{name}`" not in SETTINGS] == []


def test_every_error_code_of_callbacks_is_explained():
    assert [code for code in ErrorCode if f"`{code}`" not in API] == []


def test_the_readme_is_one_page():
    assert len(README.splitlines()) <= 150


def test_the_receiver_is_fifteen_lines_that_compile():
    source = documents.block("docs/api.md", "class Receiver")
    compile(source, "receiver", "exec")
    assert len(source.strip().splitlines()) <= 15


@pytest.fixture
def receiver(tmp_path: Path) -> Iterator[tuple[str, Webhook, Path]]:
    """The README's signed receiver on a free port: its address, who may sign, and what it prints."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
    source = documents.block("README.md", "class Receiver").replace("9000", str(port))
    output = tmp_path / "output"
    with output.open("w") as file:
        process = subprocess.Popen(
            [sys.executable, "-c", source],
            env={**os.environ, "WEBHOOK_SECRET": secret},
            stdout=file,
            stderr=subprocess.DEVNULL,
        )
    try:
        wait_for(lambda: _answers(port), 30, "the receiver")
        yield f"http://127.0.0.1:{port}/", Webhook(secret), output
    finally:
        process.kill()
        process.wait()


def _answers(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _signed(webhook: Webhook, body: str, webhook_id: str) -> dict[str, str]:
    at = datetime.now(UTC)
    return {
        "webhook-id": webhook_id,
        "webhook-timestamp": str(int(at.timestamp())),
        "webhook-signature": webhook.sign(webhook_id, at, body),
    }


def test_the_signed_receiver_takes_what_is_signed_once_and_nothing_else(receiver):
    url, webhook, output = receiver
    body = '{"task_uuid": "one", "status": "success", "vocals": "http://s3/vocals.wav"}'
    signed = _signed(webhook, body, "one.1")
    for _ in range(2):
        assert requests.post(url, data=body, headers=signed, timeout=10).status_code == 204
    forged = requests.post(url, data=body.replace("one", "two"), headers=signed, timeout=10)
    assert forged.status_code == 401
    assert requests.post(url, data=body, timeout=10).status_code == 401
    assert output.read_text() == "one success http://s3/vocals.wav\n"


@pytest.mark.parametrize("fence", [f for f in documents.fences(*PAGES) if f.language == "python"])
def test_every_example_in_python_compiles(fence: documents.Fence):
    compile(fence.text, fence.page, "exec")


def metrics_in_code() -> set[str]:
    """The names of the services' metrics, and those that are registered once a service runs."""
    registries = (
        ApiMetrics.create().registry,
        ProcessorMetrics.create().worker.registry,
        UploaderMetrics.create().worker.registry,
    )
    made = {family.name for registry in registries for family in registry.collect()}
    texts = [path.read_text() for path in PRODUCT]
    made |= {name for text in texts for name in re.findall(r'"(uvr_[a-z_]+)"', text)}
    return made | {f"{name}{ending}" for name in made for ending in ("_total", "_info")}


def metrics_in_the_table() -> set[str]:
    rows = re.findall(r"^\| (`uvr_.*?) \|", MONITORING, re.MULTILINE)
    return {name for row in rows for name in re.findall(r"`(uvr_\w+)`", row)}


def test_every_metric_in_the_table_is_in_the_code():
    assert metrics_in_the_table() <= metrics_in_code()


COMMAND_MODULES = sorted(set(re.findall(r"python -m ([a-z_.]+)", EVERYTHING)) - {"pytest"})


@pytest.mark.parametrize("module", COMMAND_MODULES)
def test_every_module_that_a_command_runs_exists(module: str):
    path = Path(module.replace(".", "/"))
    found = [root / path for root in (REPOSITORY, REPOSITORY / "client")]
    assert any(place.with_suffix(".py").exists() or (place / "__main__.py").exists() for place in found)


def test_every_command_of_uvr_that_the_documents_name_exists():
    known = set(typer.main.get_command(app).commands)  # type: ignore[attr-defined]
    named = set(re.findall(r"(?:`|exec |^\$ )uvr ([a-z]+)", EVERYTHING, re.MULTILINE))
    assert named
    assert named <= known


def test_every_command_of_start_local_that_the_documents_name_exists():
    usage = (REPOSITORY / "start_local.sh").read_text()
    named = set(re.findall(r"\./start_local\.sh ([a-z]+)", EVERYTHING))
    assert named >= {"demo", "status", "stop", "uninstall", "exec"}
    assert all(re.search(rf"^  {name}\b", usage, re.MULTILINE) for name in named)


def test_every_test_that_the_guide_names_exists():
    named = set(re.findall(r"`((?:test|Test)\w+?)(?:…|\.py)?`", GUIDE))
    assert named
    files = list((REPOSITORY / "tests").rglob("test_*.py"))
    texts = "\n".join(file.read_text() for file in files)
    assert [name for name in named - {file.stem for file in files} if name not in texts] == []


CRASH_ROWS = re.findall(
    r"^\| .+ \|$", GUIDE.partition("| killed or lost |")[2].partition("\n\n")[0], re.MULTILINE
)


def test_every_row_of_the_crash_table_names_its_test():
    assert CRASH_ROWS
    named = {row: row.split("|")[3] for row in CRASH_ROWS}
    assert [r for r, n in named.items() if "`test_" not in n and not n.strip().startswith("the same")] == []


def test_every_failpoint_is_in_the_crash_table():
    table = "\n".join(CRASH_ROWS)
    assert [point for point in Failpoint if f"`{point}`" not in table] == []


def is_file(name: str) -> bool:
    if (REPOSITORY / name).exists():
        return True
    return "/" not in name and any(REPOSITORY.glob(f"[!.]*/**/{name}"))


def test_every_file_that_the_documents_name_exists():
    named = set(re.findall(r"`([a-z_/]+\.(?:py|sh))`", EVERYTHING))
    assert named
    assert [name for name in named if not is_file(name)] == []


LOGGERS_NAMED = re.findall(r'(?:"logger": "| (?:INFO|WARNING|ERROR) )([a-z_.]+)', EVERYTHING)


@pytest.mark.parametrize("name", sorted(set(LOGGERS_NAMED)))
def test_every_logger_in_an_example_exists(name: str):
    assert (REPOSITORY / name.replace(".", "/")).with_suffix(".py").exists()


def thread_names() -> set[str]:
    texts = [path.read_text() for path in PRODUCT]
    return {name for text in texts for name in re.findall(r'name(?:_prefix)?=f?"([a-z][a-z-]*)["\s]', text)}


@pytest.mark.parametrize("name", sorted(thread_names()))
def test_every_thread_is_in_the_architectures_tables(name: str):
    assert re.search(rf"^\|.*`{name}( …)?`.*\|.*\|.*\|", ARCHITECTURE, re.MULTILINE)


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", documents.prose(page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def links(page: Path) -> list[str]:
    return re.findall(r"\]\(([^)\s]+)\)", documents.prose(page))


@pytest.mark.parametrize("page", [*PAGES, *FOR_CONTRIBUTORS], ids=name_of)
def test_every_link_within_the_repository_leads_somewhere(page: Path):
    for link in links(page):
        if re.match(r"https?://", link):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), link


def test_the_index_leads_to_every_page():
    for index in (REPOSITORY / "docs" / "README.md", REPOSITORY / "docs" / "why" / "README.md"):
        linked = {(index.parent / link.partition("#")[0]).resolve() for link in links(index)}
        assert set(index.parent.glob("*.md")) - {index} <= linked


def test_no_picture_comes_from_another_host():
    pictures = [
        page.parent / picture
        for page in PAGES
        for picture in re.findall(r"!\[[^\]]*\]\(([^)]+)\)", page.read_text())
    ]
    assert pictures
    assert all(picture.exists() for picture in pictures)
