"""The models command ends with one line and a code that tells whether the model is prepared."""

import errno
import logging
import os
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from openvino.frontend.pytorch.ts_decoder import TorchScriptPythonDecoder

from common.errors import ErrorCode, TransientError
from processor.models import catalogue, model_files
from processor.preparation import command, decision, installation, machine
from processor.separation.device import DeviceUnavailable
from tests.support.processor.centre_model import MODEL_DATA, NAME, write_centre_model
from tests.support.processor.models import random_directory


@pytest.fixture
def models(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("DEVICE", "cpu")
    monkeypatch.setenv("MODEL_FILE_DIR", str(tmp_path / "models"))
    write_centre_model(tmp_path / "models")
    return tmp_path / "models"


@pytest.fixture
def foreign(tmp_path) -> Path:
    """A model file beside its right configuration and a wrong one."""
    write_centre_model(tmp_path / "made", "mine")
    for name, bins in (("right", MODEL_DATA["mdx_dim_f_set"]), ("wrong", 2048)):
        (tmp_path / f"{name}.yaml").write_text(yaml.dump(MODEL_DATA | {"mdx_dim_f_set": bins}))
    return (tmp_path / "made" / "mine.onnx").rename(tmp_path / "mine.onnx")


def add(foreign: Path, config: str) -> int:
    return command.main(["add", str(foreign), "--config", str(foreign.with_name(f"{config}.yaml"))])


@pytest.mark.slow
@pytest.mark.usefixtures("one_trial")
def test_a_file_that_was_added_with_wrong_parameters_is_added_with_the_right_ones(models, foreign, capsys):
    for _ in range(2):
        assert add(foreign, "wrong") == 1
        told = capsys.readouterr()
        assert "mine.onnx cannot be loaded" in told.err
        assert not told.out
    assert not list(models.glob("**/mine*"))
    assert add(foreign, "right") == 0
    told = capsys.readouterr().out
    assert "mine.onnx is added" in told
    assert "x real time" in told
    assert model_files.ensure("mine", models, fetch=False).parameters == MODEL_DATA


@pytest.mark.usefixtures("one_trial")
def test_what_was_prepared_for_an_earlier_file_of_the_same_content_counts_no_more(models, foreign, capsys):
    assert add(foreign, "right") == 0
    (models / "mine.onnx").unlink()
    assert add(foreign, "wrong") == 1
    assert "cannot be loaded" in capsys.readouterr().err


@pytest.mark.parametrize(
    "error",
    [KeyboardInterrupt(), SystemExit(143), OSError(errno.ENOSPC, "full"), DeviceUnavailable("no GPU")],
)
def test_an_addition_that_ends_before_the_model_is_known_to_load_leaves_nothing(
    models, foreign, monkeypatch, error
):
    failing(monkeypatch, error)
    if isinstance(error, Exception):
        assert add(foreign, "right") == 1
    else:
        with pytest.raises(type(error)):
            add(foreign, "right")
    assert not list(models.glob("**/mine*"))


@pytest.fixture
def root_level() -> Iterator[None]:
    """OpenVINO's converter raises the root logger's level, and does not lower it again when it is stopped."""
    before = logging.root.level
    yield
    logging.root.setLevel(before)


@pytest.mark.slow
@pytest.mark.usefixtures("one_trial", "root_level")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_stop_that_openvino_swallows_while_it_converts_ends_the_command_all_the_same(
    tmp_path, monkeypatch, number
):
    shutil.copytree(random_directory(), tmp_path / "models", ignore=shutil.ignore_patterns("prepared"))
    # Python's own handler, which a run in the background of a shell lacks.
    monkeypatch.setattr(signal, "getsignal", lambda number: signal.SIG_DFL)
    signals = [number]
    ask = TorchScriptPythonDecoder.get_op_type

    def be_stopped(self: TorchScriptPythonDecoder) -> str:
        if signals:
            os.kill(os.getpid(), signals.pop())
        return ask(self)

    monkeypatch.setattr(TorchScriptPythonDecoder, "get_op_type", be_stopped)
    with pytest.raises(SystemExit) as caught:
        command.main(["fetch", "tiny_mdx23c", "--dir", str(tmp_path / "models"), "--device", "cpu"])
    assert caught.value.code == 128 + number
    assert not signals
    assert not list((tmp_path / "models").glob("prepared/*/*.json"))


def failing(monkeypatch, error: BaseException) -> None:
    def prepare(*arguments: object, **options: object) -> None:
        raise error

    monkeypatch.setattr(installation, "prepare", prepare)


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (TransientError(ErrorCode.OUT_OF_MEMORY, "out of memory with 1 chunks at once"), "out of memory"),
        (TransientError(ErrorCode.DISK_FULL, "Disk full: x"), "Disk full: x"),
        (OSError(errno.ENOSPC, "No space left on device"), "No space left"),
        (RuntimeError("sizes differ:\n1, not 2"), "sizes differ: 1, not 2"),
        (KeyError("state"), "state"),
        (ValueError(), "ValueError"),
    ],
)
@pytest.mark.parametrize("name", ["fetch", "prepare"])
def test_a_preparation_that_fails_is_told_in_one_line(models, monkeypatch, capsys, error, says, name):
    failing(monkeypatch, error)
    assert command.main([name, NAME]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"{NAME} cannot be prepared: ")
    assert says in line
    assert line.endswith(f"run `python -m processor models prepare {NAME}`")


@pytest.mark.usefixtures("one_trial")
def test_a_fetch_is_no_success_while_the_preparation_is_unfinished(models, monkeypatch, capsys):
    class Killed(BaseException):
        pass

    def die(step: str) -> None:
        raise Killed

    files = model_files.ensure(NAME, models, fetch=False)
    with pytest.raises(Killed):
        installation.prepare(files, "cpu", "auto", die)
    assert command.main(["fetch", NAME]) == 1
    assert f"`python -m processor models prepare {NAME}`" in capsys.readouterr().err
    assert command.main(["prepare", NAME]) == 0
    assert command.main(["fetch", NAME]) == 0
    assert decision.read(files, machine.cpu(), "auto").is_finished


@pytest.mark.usefixtures("one_trial")
def test_a_check_shows_no_speed_of_earlier_parameters(models, capsys):
    assert command.main(["fetch", NAME]) == 0
    capsys.readouterr()
    assert command.main(["check"]) == 0
    assert "x real time" in capsys.readouterr().out
    files = model_files.ensure(NAME, models, fetch=False)
    data = files.parameters | {"primary_stem": "Drums"}
    catalogue.replace_parameters(models, catalogue.model_hash(files.path), "MDX", data)
    assert command.main(["check"]) == 0
    assert "x real time" not in capsys.readouterr().out


@pytest.mark.parametrize("content", ["{", "[]"])
@pytest.mark.parametrize("arguments", [["list"], ["check"], ["fetch", NAME], ["add", "mine.onnx"]])
def test_a_data_file_that_is_broken_is_told_in_one_line(
    models, foreign, monkeypatch, capsys, arguments, content
):
    monkeypatch.chdir(foreign.parent)
    (models / "download_checks.json").write_text(content)
    assert command.main(arguments) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"{models}/download_checks.json ")


@pytest.mark.parametrize(
    ("setting", "value", "expected"),
    [("DEVICE", "CPU", "auto, cuda, cpu"), ("PRECISION", "int8", "auto, fp32, bf16, fp16")],
)
@pytest.mark.parametrize("arguments", [["fetch", NAME], ["prepare", NAME], ["add", "x.onnx"]])
def test_a_wrong_setting_is_named(models, monkeypatch, capsys, setting, value, expected, arguments):
    monkeypatch.setenv(setting, value)
    with pytest.raises(SystemExit, match="2"):
        command.main(arguments)
    assert f"{setting}={value} is wrong: expected one of {expected}" in capsys.readouterr().err
    assert not list(models.glob("prepared"))
    assert command.main(["list", "--here"]) == 0


@pytest.mark.usefixtures("one_trial")
def test_an_argument_goes_before_a_wrong_setting(models, monkeypatch):
    monkeypatch.setenv("PRECISION", "int8")
    assert command.main(["fetch", NAME, "--precision", "fp32"]) == 0
