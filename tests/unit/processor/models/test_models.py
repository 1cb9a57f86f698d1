"""Model files: what a name means, which files are refused, and what a fetch leaves."""

import json
from pathlib import Path

import pytest

from processor.engine.starter import CHILD_ENVIRONMENT
from processor.models import catalogue, hub, model_files
from processor.models.model_files import ModelUnavailable, ensure
from tests.support.forked_command import ForkedReader, run_forked
from tests.support.processor.centre_model import MODEL_DATA, write_centre_model


def no_network(url: str, target: Path) -> None:
    raise hub.HubError("no network")


class FakeHub:
    """Serves the addresses that the library asks for; `files` by the last part of their path."""

    def __init__(self, source: Path, **files: bytes):
        self.asked: list[str] = []
        self._files = {
            "download_checks.json": lists(
                source, current_version="UVR_Patch", mdx_download_list={"Fetched": "fetched.onnx"}
            ),
            "model_data_new.json": (source / catalogue.MDX_DATA).read_bytes(),
            "fetched.onnx": (source / "fetched.onnx").read_bytes(),
        } | files

    def __call__(self, url: str, target: Path) -> None:
        self.asked.append(url)
        name = url.rpartition("/")[2]
        if name not in self._files:
            raise hub.HubError(f"{url} answered HTTP 404")
        target.write_bytes(self._files[name])


def lists(directory: Path, **entries: dict | str) -> bytes:
    return json.dumps(catalogue.lists(directory) | entries).encode()


@pytest.fixture
def source(tmp_path) -> Path:
    directory = tmp_path / "hub"
    write_centre_model(directory, name="fetched")
    return directory


@pytest.fixture
def target(tmp_path) -> Path:
    return tmp_path / "models"


def test_a_catalogue_model_is_fetched_checked_and_recorded(source, target):
    files = ensure("fetched", target, fetch=True, download=FakeHub(source))
    assert files.path.read_bytes() == (source / "fetched.onnx").read_bytes()
    assert files.parameters == MODEL_DATA
    assert (target / "fetched.onnx.sha256").read_text().strip() == files.sha256
    assert not list(target.glob(".fetch-*"))


def test_a_model_that_is_here_asks_no_network(source, target):
    first = ensure("fetched", target, fetch=True, download=FakeHub(source))
    assert ensure("fetched", target, fetch=True, download=no_network) == first
    assert ensure("fetched", target, fetch=False) == first


def test_what_is_not_here_is_named_with_what_to_do(target):
    with pytest.raises(ModelUnavailable, match=r"python -m processor models fetch UVR-MDX-NET-Inst_HQ_4"):
        ensure("UVR-MDX-NET-Inst_HQ_4", target, fetch=False)


def test_without_a_network_the_reason_is_said(target):
    with pytest.raises(ModelUnavailable, match="no network"):
        ensure("UVR-MDX-NET-Inst_HQ_4", target, fetch=True, download=no_network)
    assert not list(target.glob("*.onnx*"))
    assert not list(target.glob(".fetch-*"))


def test_an_unknown_name_gets_its_nearest(source, target):
    with pytest.raises(ModelUnavailable, match=r"no such model.*fetched"):
        ensure("fetchd", target, fetch=True, download=FakeHub(source))


@pytest.mark.parametrize("page", [b"<html>Please log in</html>", b"{}", b"[]"])
def test_a_proxys_page_is_not_taken_for_the_catalogue(source, target, page):
    served = FakeHub(source, **{"download_checks.json": page})
    with pytest.raises(ModelUnavailable, match="model fetched cannot be fetched"):
        ensure("fetched", target, fetch=True, download=served)
    assert not (target / catalogue.LISTS).exists()


@pytest.mark.parametrize("content", [b"", b"\x08\x07 half a model", b"<html>rate limited</html>"])
def test_a_bad_download_never_becomes_the_model(source, target, content):
    with pytest.raises(ModelUnavailable):
        ensure("fetched", target, fetch=True, download=FakeHub(source, **{"fetched.onnx": content}))
    assert not (target / "fetched.onnx").exists()
    ensure("fetched", target, fetch=True, download=FakeHub(source))


def test_a_file_that_changed_since_is_refused_and_named(source, target):
    path = ensure("fetched", target, fetch=True, download=FakeHub(source)).path
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    with pytest.raises(ModelUnavailable, match=r"fetched\.onnx is damaged or was changed"):
        ensure("fetched", target, fetch=True, download=FakeHub(source))


def test_an_operators_own_model_needs_no_catalogue(tmp_path):
    write_centre_model(tmp_path, name="mine")
    assert ensure("mine", tmp_path, fetch=True, download=no_network).parameters == MODEL_DATA


@pytest.mark.parametrize("content", [b"{", b"[]", b"[" * 100_000, b"\xff", b"5"])
@pytest.mark.parametrize("name", [catalogue.LISTS, catalogue.MDX_DATA])
def test_a_data_file_that_is_broken_is_named(tmp_path, name, content):
    write_centre_model(tmp_path, name="mine")
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ModelUnavailable, match=f"{tmp_path / name} "):
        ensure("mine", tmp_path, fetch=False)


def test_an_entry_that_is_no_object_is_refused(tmp_path):
    path = tmp_path / f"{write_centre_model(tmp_path, name='mine')}.onnx"
    (tmp_path / catalogue.MDX_DATA).write_text(json.dumps({catalogue.model_hash(path): 5}))
    with pytest.raises(ModelUnavailable, match=f"entry of mine.onnx in {catalogue.MDX_DATA}"):
        ensure("mine", tmp_path, fetch=False)


def test_an_entry_of_the_lists_that_names_no_files_is_no_model(tmp_path):
    write_centre_model(tmp_path, name="mine")
    bad = {"A": 5, "B": ["x.onnx"], "C": {"x.ckpt": 5}, "D": None}
    (tmp_path / catalogue.LISTS).write_text(json.dumps({"mdx_download_list": bad}))
    assert ensure("mine", tmp_path, fetch=False).parameters == MODEL_DATA


def test_an_operators_model_without_its_entry_is_refused(tmp_path):
    write_centre_model(tmp_path, name="mine")
    (tmp_path / catalogue.MDX_DATA).write_text("{}")
    with pytest.raises(ModelUnavailable, match=catalogue.MDX_DATA):
        ensure("mine", tmp_path, fetch=False)


def test_an_entry_that_lacks_a_parameter_is_refused(tmp_path):
    write_centre_model(tmp_path, name="mine")
    key = catalogue.model_hash(tmp_path / "mine.onnx")
    (tmp_path / catalogue.MDX_DATA).write_text(json.dumps({key: {"primary_stem": "Vocals"}}))
    with pytest.raises(ModelUnavailable, match="lacks compensate"):
        ensure("mine", tmp_path, fetch=False)


def test_an_empty_file_is_refused(tmp_path):
    (tmp_path / "mine.onnx").touch()
    with pytest.raises(ModelUnavailable, match="empty"):
        ensure("mine", tmp_path, fetch=False)


def test_a_damaged_data_file_is_named(tmp_path):
    write_centre_model(tmp_path, name="mine")
    (tmp_path / catalogue.MDX_DATA).write_text("{")
    with pytest.raises(ModelUnavailable, match="not JSON"):
        ensure("mine", tmp_path, fetch=False)


def test_data_that_an_operator_wrote_stays(source, target):
    target.mkdir()
    listed = {"mdx_download_list": {"Theirs": "theirs.onnx"}, "other_list": {"a": "b"}}
    theirs = {"current_version": "UVR_Patch", **listed}  # as an earlier fetch has left it
    (target / catalogue.LISTS).write_text(json.dumps(theirs))
    (target / catalogue.MDX_DATA).write_text(json.dumps({"abc": {"primary_stem": "Drums"}}))
    ensure("fetched", target, fetch=True, download=FakeHub(source))
    merged = catalogue.lists(target)
    assert merged["other_list"] == {"a": "b"}
    assert set(merged["mdx_download_list"].values()) == {"theirs.onnx", "fetched.onnx"}
    assert json.loads((target / catalogue.MDX_DATA).read_text())["abc"] == {"primary_stem": "Drums"}


def test_a_read_only_directory_that_is_complete_will_do(source, target):
    first = ensure("fetched", target, fetch=True, download=FakeHub(source))
    before = {path: path.stat().st_mtime_ns for path in target.iterdir()}
    assert ensure("fetched", target, fetch=False) == first
    assert {path: path.stat().st_mtime_ns for path in target.iterdir()} == before


def environment(directory: Path) -> dict[str, str]:
    return {"HTTPS_PROXY": "http://127.0.0.1:1", "MODEL_FILE_DIR": str(directory), **CHILD_ENVIRONMENT}


def test_the_command_says_in_one_line_why_it_failed(target):
    done = run_forked(
        "processor", "models", "fetch", "UVR-MDX-NET-Inst_HQ_4", environment=environment(target)
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert len(done.stderr.splitlines()) == 1
    assert "no network" in done.stderr


@pytest.mark.slow
def test_two_processes_that_make_a_model_at_once_do_no_harm(target):
    # The command would prepare the model too, which takes twice as long as to make it.
    make = ("tests.support.processor.fetching", model_files.SPLEETER, str(target), "no hub")
    both = [ForkedReader(*make, environment=environment(target), preloaded=["torch"]) for _ in range(2)]
    outputs = [process.end() for process in both]
    assert [code for code, _ in outputs] == [0, 0], outputs
    assert sum("making" in output for _, output in outputs) == 1
    files = ensure(model_files.SPLEETER, target, fetch=False)
    assert files.parameters["mdx_n_fft_scale_set"] == 4096
    assert not list(target.glob(".fetch-*"))
