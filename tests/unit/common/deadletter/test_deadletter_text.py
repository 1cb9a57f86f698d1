"""Dead letters become text: a table that fits, complete, and harmless to a terminal."""

import json

import pytest

from common.deadletter import text
from common.deadletter.dead_letter import DeadLetter, parse
from common.deadletter.mailbox import Mailbox
from common.jobs import retry
from common.settings.schema import KafkaSettings
from tests.support.common.deadletter.dead_letters import ONE, letter_record, mark, task

SETTINGS = KafkaSettings()
HOSTILE = "\x1b]0;title\x07\x1b[2J\r\n\x9b1m\u202eevil\u2028 https://user:pass@example.com/x"


def hostile() -> list[DeadLetter]:
    song = task().model_copy(update={"audio": HOSTILE, "hook_url": "https://me:secret@example.com/hook"})
    headers = [("x\x1b[31m", HOSTILE.encode())]
    undecodable = letter_record(HOSTILE.encode() + b"\xff\x9b", 1, reason=HOSTILE, key=HOSTILE.encode())
    decoded = letter_record(song.to_bytes(), 2, reason=HOSTILE, code=HOSTILE, headers=headers)
    return [parse(record, SETTINGS) for record in (undecodable, decoded)]


@pytest.mark.parametrize("width", [None, 80, 200])
def test_nothing_that_a_stranger_wrote_steers_the_terminal_or_shows_a_password(width):
    box = Mailbox.of([], SETTINGS)
    lines = [
        *text.table(hostile(), box, width, every=True),
        *(line for letter in hostile() for line in text.details(letter, box)),
        *(text.as_json(letter, box) for letter in hostile()),
    ]
    assert all(line.isprintable() for line in lines)
    assert not [line for line in lines if "pass@" in line or "secret" in line]
    assert any("https://***@example.com/hook" in line for line in lines)


@pytest.mark.parametrize("width", [60, 80, 100, 132, 200])
def test_no_line_of_the_table_is_longer_than_the_terminal(width):
    records = [
        letter_record(task().to_bytes(), n, code="engine_unavailable", reason="r" * 2000) for n in range(3)
    ]
    box = Mailbox.of([*records, mark(0, 2, 9)], SETTINGS)
    lines = list(text.table(box.letters, box, width, every=True))
    assert max(map(len, lines)) <= width
    assert len(lines) == 4


def test_the_table_has_a_line_a_letter_with_all_of_its_columns_below_their_headings():
    box = Mailbox.of([letter_record(task().to_bytes(), 7), letter_record(b"?", 12), mark(7, 2, 13)], SETTINGS)
    heading, second, first = text.table(box.letters, box, None, every=True)
    assert heading.split() == ["WHEN", "ID", "KIND", "TASK", "RUN", "CODE", "TRIES", "REPLAYED", "REASON"]
    assert first.split()[:7] == ["2027-01-15T08:00:07Z", "3/7", "task", str(ONE), "1", "http_error", "1"]
    assert first.endswith("as run 2  why")
    assert second.split()[1:5] == ["3/12", "undecodable", "-", "-"]
    assert {line.index(word) for line, word in ((heading, "REASON"), (first, "why"), (second, "why"))} == {
        heading.index("REASON")
    }


def test_a_piped_table_is_not_cut():
    box = Mailbox.of([letter_record(task().to_bytes(), reason="r" * 1999)], SETTINGS)
    assert list(text.table(box.letters, box, None, every=False))[1].endswith("r" * 1999)


def test_json_tells_every_column_on_one_line():
    box = Mailbox.of([letter_record(task().to_bytes(), 7), mark(7, 2, 8)], SETTINGS)
    assert json.loads(text.as_json(box.letters[0], box)) == {
        "id": "3/7",
        "written_at": "2027-01-15T08:00:07Z",
        "kind": "task",
        "task_uuid": str(ONE),
        "run": 1,
        "error_code": "http_error",
        "reason": "why",
        "tries": 1,
        "failed_tries": {},
        "first_error": None,
        "last_error": None,
        "origin": "uvr_tasks/5/9",
        "replayed_as": 2,
    }


def test_the_details_have_the_history_and_the_message():
    past = [(retry.TRIES, b'{"job":4}'), (retry.FIRST_ERROR, b"http_error: HTTP error: 503")]
    box = Mailbox.of([letter_record(task().to_bytes(), 7, headers=past)], SETTINGS)
    details = "\n".join(text.details(box.letters[0], box))
    assert "failed tries  job 4" in details
    assert "first error   http_error: HTTP error: 503" in details
    assert '  "audio": "https://example.com/a.mp3",' in details
    assert "replayed      no" in details


def test_of_bytes_that_are_no_message_only_the_beginning_is_shown():
    letter = parse(letter_record(b"\xff" * 5000), SETTINGS)
    *_, size, content = text.details(letter, Mailbox.of([], SETTINGS))
    assert size == "bytes (5000, the first 2000 shown)"
    assert content == "  " + r"\xff" * 2000
