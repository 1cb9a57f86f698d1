"""The documented restore, with a stand-in for docker that writes down how it is called."""

import os
import subprocess

import yaml

from tests.support import documents

_DOCKER = """#!/bin/sh
if [ "$1 $2" = "volume ls" ]; then
  printf '%s\\n' other_view uvr_kafka-data uvr_view uvr_view-2
else
  echo "$@" >> "$CALLS"
fi
"""


def test_the_views_of_all_apis_are_removed_before_the_start(tmp_path):
    second = yaml.safe_load(documents.block("docs/production.md", "api-2:").replace("!override ", ""))
    docker = tmp_path / "docker"
    docker.write_text(_DOCKER)
    docker.chmod(0o755)
    environment = {"PATH": f"{tmp_path}:{os.environ['PATH']}", "CALLS": str(tmp_path / "calls")}
    restore = documents.block("docs/production.md", "tar xzf")
    subprocess.run(["sh", "-ec", restore], env=environment, cwd=tmp_path, check=True)
    calls = (tmp_path / "calls").read_text().splitlines()
    removals = [call for call in calls if "find /view" in call]
    mounted = {words[words.index("-v") + 1] for words in map(str.split, removals)}
    assert mounted == {f"uvr_{volume}:/view" for volume in ("view", *second["volumes"])}
    assert calls.index(removals[-1]) < calls.index("compose up -d --wait")
