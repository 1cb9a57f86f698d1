"""The README against the code: every setting, error code and command module that it must name."""

import re

import pytest

from common.errors import ErrorCode
from common.failpoint import Failpoint
from common.settings.schema import ApiSettings, ProcessorSettings, UploaderSettings
from tests.support.paths import REPOSITORY

README = (REPOSITORY / "README.md").read_text()
GUIDE = (REPOSITORY / "KAFKA_CONSUMER.md").read_text()

# Ends of callbacks and records of ours, which a user never sees in a failure callback.
INTERNAL_CODES = {ErrorCode.INVALID_MESSAGE, ErrorCode.CALLBACK_FAILED, ErrorCode.CALLBACK_GONE}


def variables() -> set[str]:
    names = set()
    for kind in (ApiSettings, ProcessorSettings, UploaderSettings):
        for name, field in kind.model_fields.items():
            alias = field.validation_alias
            names.add((alias.choices[0] if alias else name).upper())
    return names


@pytest.mark.parametrize("name", sorted(variables()))
def test_every_setting_is_in_the_table(name: str):
    assert f"`{name}`" in README


@pytest.mark.parametrize("code", sorted(set(ErrorCode) - INTERNAL_CODES))
def test_every_error_code_of_callbacks_is_explained(code: ErrorCode):
    assert f"`{code}`" in README


def test_the_receiver_is_fifteen_lines_that_compile():
    (source,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    compile(source, "receiver", "exec")
    assert len(source.strip().splitlines()) <= 15


@pytest.mark.parametrize(
    "module", sorted(set(re.findall(r"python -m ([a-z_.]+)", README + GUIDE)) - {"pytest"})
)
def test_every_module_that_a_command_runs_exists(module: str):
    places = [root / module.replace(".", "/") for root in (REPOSITORY, REPOSITORY / "client")]
    assert any(path.with_suffix(".py").exists() or (path / "__main__.py").exists() for path in places)


@pytest.mark.parametrize("name", sorted(set(re.findall(r"`((?:test|Test)\w+?)(?:…|\.py)?`", GUIDE))))
def test_every_test_that_the_guide_names_exists(name: str):
    files = list((REPOSITORY / "tests").rglob("test_*.py"))
    assert name in {file.stem for file in files} or any(name in file.read_text() for file in files)


CRASH_ROWS = re.findall(
    r"^\| .+ \|$", GUIDE.partition("| killed or lost |")[2].partition("\n\n")[0], re.MULTILINE
)


@pytest.mark.parametrize("row", CRASH_ROWS)
def test_every_row_of_the_crash_table_names_its_test(row: str):
    named = row.split("|")[3]
    assert "`test_" in named or named.strip().startswith("the same")


@pytest.mark.parametrize("point", Failpoint)
def test_every_failpoint_is_in_the_crash_table(point: Failpoint):
    assert any(f"`{point}`" in row for row in CRASH_ROWS)
