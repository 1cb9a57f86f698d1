"""Every command in the documents is run by a test, or a table says why it is not."""

import re
from collections.abc import Iterator

import pytest

from tests.support import documents
from tests.support.documented_commands import CLAIMS, TRANSCRIPTS, NotRun, RunBy, documented
from tests.support.documents import PAGES, Fence
from tests.support.paths import REPOSITORY

KNOWN_LANGUAGES = {"sh", "console", "text", "json", "js", "python", "toml", "yaml", "properties"}
# How a line begins that somebody could copy into a shell.
COMMAND = re.compile(
    r"^\s*(\$ )?(\./\w+\.sh|curl|docker|git|pip|python3? -m|uvr|kafka-\S+|export|echo|sudo)\s"
)


def blocks() -> list[Fence]:
    return documents.fences(*PAGES)


def unclaimed(commands: Iterator[tuple[str, str]] | list[tuple[str, str]]) -> list[tuple[str, str]]:
    return [(page, command) for page, command in commands if command not in CLAIMS]


def is_run(claim: RunBy) -> bool:
    """Whether the test file is there, once, and has the text by which it runs the command."""
    found = list((REPOSITORY / "tests").rglob(claim.test_file))
    return len(found) == 1 and claim.proof in found[0].read_text()


def test_every_command_is_run_by_a_test_or_has_a_reason():
    assert not unclaimed(documented())


def test_there_are_commands_on_the_pages_where_a_reader_expects_them():
    pages = {page for page, _ in documented()}
    assert pages >= {"README.md", "docs/api.md", "docs/client.md", "docs/docker.md", "docs/production.md"}


def test_a_command_that_nobody_claims_is_found():
    fence = Fence("docs/new.md", "sh", "./start_local.sh frobnicate   # a comment\nuvr list\n")
    found = unclaimed([(fence.page, command) for command in fence.commands()])
    assert found == [("docs/new.md", "./start_local.sh frobnicate"), ("docs/new.md", "uvr list")]


def test_a_claim_is_about_a_command_that_a_page_has():
    assert CLAIMS.keys() - {command for _, command in documented()} == set()


def test_the_test_that_runs_a_command_is_there():
    run = {command: claim for command, claim in CLAIMS.items() if isinstance(claim, RunBy)}
    assert run
    assert {command: claim for command, claim in run.items() if not is_run(claim)} == {}


@pytest.mark.parametrize(
    "claim",
    [RunBy("test_no_such_file.py", "import"), RunBy("test_documented_commands.py", "no such" + "text")],
)
def test_a_claim_without_its_test_is_found(claim: RunBy):
    assert not is_run(claim)


def test_no_command_of_compose_names_its_files():
    """The next command, such as an upgrade, would not name them, and make the service anew without them."""
    pages = {page: (REPOSITORY / page).read_text() for page in (*PAGES, "docker-compose.gpu.yml")}
    assert [page for page, text in pages.items() if re.search(r"docker compose (-f|--file)\b", text)] == []


def test_a_reason_is_a_sentence():
    reasons = [claim.why for claim in (CLAIMS | TRANSCRIPTS).values() if isinstance(claim, NotRun)]
    assert reasons
    assert [why for why in reasons if len(why.split()) < 5] == []


def test_only_known_pages_have_transcripts():
    assert {fence.page for fence in blocks() if fence.language == "console"} == set(TRANSCRIPTS)


def test_no_command_hides_in_a_block_that_is_not_marked_as_a_shells():
    assert [(fence.page, fence.language) for fence in blocks() if fence.language not in KNOWN_LANGUAGES] == []
    others = [fence for fence in blocks() if fence.language not in documents.SHELL]
    lines = [(fence.page, line) for fence in others for line in fence.text.splitlines()]
    assert [(page, line) for page, line in lines if COMMAND.match(line)] == []


def test_lines_that_go_on_and_loops_are_one_command_each():
    text = "curl a \\\n  b   # why\n\nfor x in 1 2; do\n  echo $x\ndone\nuvr list\n"
    assert Fence("p", "sh", text).commands() == ["curl a b", "for x in 1 2; do echo $x done", "uvr list"]


def test_of_a_transcript_the_commands_are_what_stands_behind_the_prompt():
    text = "$ curl a \\\n   b\n{}\n$ uvr list\nno tasks\n"
    assert Fence("p", "console", text).commands() == ["curl a b", "uvr list"]
