"""The settings' names are kept in a file: most commands of the local stack need no more of the settings."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from local import service_settings
from tests.support.paths import REPOSITORY


@pytest.fixture
def kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    file = tmp_path / "kept.json"
    monkeypatch.setattr(service_settings, "_KEPT", file)
    service_settings._described.cache_clear()
    yield file
    service_settings._described.cache_clear()


def test_what_is_kept_is_used_while_the_code_is_the_same(kept):
    assert {"LOG_DIR", "VIEW_FILE"} <= service_settings.names("api")
    content = json.loads(kept.read_text())
    content["kinds"]["api"] = {"ONLY": True}
    kept.write_text(json.dumps(content))
    service_settings._described.cache_clear()
    assert service_settings.names("api") == {"ONLY"}
    assert "ONLY" in service_settings.path_names()


@pytest.mark.parametrize("content", ['{"made_of": "other code", "kinds": {}}', "{}", "[]", "half of"])
def test_the_file_of_other_code_and_a_damaged_one_are_made_again(kept, content):
    kept.write_text(content)
    assert "LOG_DIR" in service_settings.names("uploader")
    assert "LOG_DIR" in json.loads(kept.read_text())["kinds"]["uploader"]


def test_commands_of_the_local_stack_load_no_library_of_the_settings():
    program = (
        "import sys, local.__main__; from local import service_settings as kept; kept.names(); kept.names();"
        "print({'pydantic', 'cryptography', 'kafka', 'boto3'} & set(sys.modules))"
    )
    for _ in range(2):  # the first one may have to keep the names
        done = subprocess.run(
            [sys.executable, "-c", program], cwd=REPOSITORY, capture_output=True, text=True, check=True
        )
    assert done.stdout == "set()\n"
