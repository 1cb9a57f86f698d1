"""A command whose output nobody reads any more ends quietly, whichever it is and wherever it notices."""

import os

import pytest

from tests.support.common.kafka.group import Lab
from tests.support.forked_command import run_forked
from tests.support.paths import REPOSITORY

pytestmark = pytest.mark.network

COMMANDS = {
    "lag": ["common.lag"],
    "dead letters": ["common.deadletter", "list"],
    "help of the dead letters": ["common.deadletter", "--help"],
    "models": ["processor", "models", "list"],
    "check of models": ["processor", "models", "check"],
    "help of models": ["processor", "models", "--help"],
    "hash-password": ["api", "hash-password", "alice"],
    "help of uvr": ["uvr_client", "--help"],
    "help of the api": ["api", "--help"],
    "help of the processor": ["processor", "--help"],
    "help of the uploader": ["uploader", "--help"],
    "help of lag": ["common.lag", "--help"],
}


@pytest.fixture(scope="module")
def environment(kafka, tmp_path_factory) -> dict[str, str]:
    directory = tmp_path_factory.mktemp("commands")
    kept = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": f"{REPOSITORY}:{REPOSITORY / 'client'}",
        "HOME": str(directory),
        "PYTHONUNBUFFERED": "",  # what is left in a buffer is written at the very end
    }
    return {**Lab(kafka.bootstrap).environment, **kept, "MODEL_FILE_DIR": str(directory / "models")}


@pytest.mark.parametrize("arguments", COMMANDS.values(), ids=COMMANDS.keys())
def test_a_command_ends_quietly_where_nobody_reads_on(environment, arguments):
    read_end, write_end = os.pipe()
    os.close(read_end)  # before the first line: each is one too many
    with open(write_end, "wb") as nobody:
        done = run_forked(*arguments, environment=environment, given="a password\n", output=nobody)
    # 1 is what the library of uvr's command line ends with, for its help alone.
    assert done.returncode == (1 if arguments[0] == "uvr_client" else 141), done.stderr
    said = done.stderr.splitlines()
    assert [line for line in said if not line.startswith(("asking Kafka", "this is what"))] == []
