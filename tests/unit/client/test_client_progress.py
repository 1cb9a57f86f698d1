"""Tests what a terminal shows of tasks while a user waits."""

import io

import pytest
from rich.console import Console

from tests.support.client.fake_api import task
from uvr_client import Task
from uvr_client.progress import Bars, Lines, Nothing, display
from uvr_client.times import parse_since
from uvr_client.view import duration, local_time, printable, task_line, tasks_table

NOW_S = 1767225600.0


def terminal() -> Console:
    return Console(file=io.StringIO(), force_terminal=True, width=120, color_system=None)


def last_line(console: Console) -> str:
    """Returns the last line that stays on the terminal. The cursor is shown again after it."""
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue().splitlines()[-2]


def changed(state: str, **fields) -> Task:
    return Task.model_validate(task(state, "e197436f-d0d0-404c-abd9-11222006d088", **fields))


def test_a_terminal_gets_bars_and_all_else_lines_and_scripts_nothing():
    assert isinstance(display(terminal(), silent=False), Bars)
    assert isinstance(display(Console(file=io.StringIO()), silent=False), Lines)
    assert type(display(terminal(), silent=True)) is Nothing


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (
            changed("queued", queue_place=3, queue_eta_s=75.2),
            ["queued, place 3", "starts in about 1 min 15 s"],
        ),
        (changed("queued", next_try_at=NOW_S), ["queued, retries at"]),
        (changed("separating", progress=0.54), ["separating", "54 %"]),
        (changed("succeeded", progress=1.0), ["succeeded", "100 %"]),
        (changed("failed"), ["failed"]),
        (changed("[red]\x1b[2J[/red]"), [r"[red]\x1b[2J[/red]"]),
    ],
)
def test_a_bar_tells_stage_and_progress_and_how_long_still(status, expected):
    console = terminal()
    with Bars(console) as bars:
        bars.show(status)
    last = last_line(console)
    for text in ["e197436f", *expected]:
        assert text in last


def test_each_task_has_one_bar_that_goes_on():
    console = terminal()
    with Bars(console) as bars:
        for progress in (0.1, 0.2, 0.3):
            bars.show(changed("separating", progress=progress))
    assert last_line(console).count("e197436f") == 1


def test_how_long_still_is_told_from_the_progress():
    now_s = 0.0
    console = Console(
        file=io.StringIO(), force_terminal=True, width=120, color_system=None, get_time=lambda: now_s
    )
    with Bars(console) as bars:
        for progress in (0.1, 0.2, 0.3, 0.4):
            bars.show(changed("separating", progress=progress))
            now_s += 10.0
    assert "1 min 00 s left" in last_line(console)


def test_one_line_tells_what_matters():
    status = changed("queued", error_code="http_error", error_message="HTTP error: 503", next_try_at=NOW_S)
    assert task_line(status).endswith(f"queued, retries at {local_time(NOW_S)}, http_error: HTTP error: 503")


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [(-1, "0 s"), (59.4, "59 s"), (59.6, "1 min 00 s"), (3599, "59 min 59 s"), (3661, "1 h 01 min")],
)
def test_a_duration_is_told_in_two_units_at_most(seconds, expected):
    assert duration(seconds) == expected


def test_a_time_that_is_none_is_shown_as_it_is():
    assert local_time(1e300) == "1e+300"


@pytest.mark.parametrize(
    "character",
    [
        *"\t\n\r\x00\x1b\x7f\x9b",  # controls
        *"\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069",  # directions
        *"\u2028\u2029\u00ad\u200b\u2060\ufeff\ud800\udce9",  # lines, invisible characters, surrogates
    ],
)
def test_what_is_shown_controls_nothing(character):
    shown = printable(f"a{character}é")
    assert (shown.isprintable(), shown) == (True, f"a{character.encode('unicode_escape').decode()}é")


@pytest.mark.parametrize(
    "text", ["宇多田\u3000ヒカル", "Beyoncé\u00a0– Halo", "12\u202f000", "می\u200cخواهم", "👩\u200d🎤"]
)
def test_names_of_songs_are_shown_as_they_are_written(text):
    assert printable(text) == text


@pytest.mark.parametrize(
    ("text", "expected_s"),
    [
        ("90m", NOW_S - 5400),
        ("2d", NOW_S - 172800),
        ("2026-01-01", NOW_S),
        ("2026-01-01T01:00:00+01:00", NOW_S),
    ],
)
def test_a_time_is_a_duration_or_an_iso_time(text, expected_s):
    assert parse_since(text, NOW_S) == expected_s


@pytest.mark.parametrize("text", ["", "soon", "2", "-2h", "2026-13-01", "1" * 10 + "h"])
def test_what_is_no_time_is_refused(text):
    with pytest.raises(ValueError, match="expected a duration"):
        parse_since(text, NOW_S)


@pytest.mark.parametrize(
    ("width", "priority", "is_shown"), [(500, 3, True), (120, 3, False), (120, 5, True), (500, None, True)]
)
def test_a_list_shows_priorities_where_there_is_room_or_one_is_not_the_default(width, priority, is_shown):
    console = Console(file=io.StringIO(), width=width)
    console.print(tasks_table(iter([changed("queued", priority=priority), changed("queued")]), width))
    assert isinstance(console.file, io.StringIO)
    header, first, *_ = console.file.getvalue().splitlines()
    assert ("priority" in header) == is_shown
    assert not is_shown or priority is None or f" {priority} " in first


@pytest.mark.parametrize(
    ("width", "song"),
    [(500, "https://example.com/very long name of a song.flac"), (120, "…om/very long name of a song.flac")],
)
def test_a_list_has_room_for_songs_on_a_narrow_terminal_too(width, song):
    address = "https://example.com/very long name of a song.flac"
    status = changed("separating", progress=0.5, audio=address, hook_host="hooks.example.com")
    console = Console(file=io.StringIO(), width=width)
    console.print(tasks_table([status, changed("queued")], width))
    assert isinstance(console.file, io.StringIO)
    lines = console.file.getvalue().splitlines()
    assert len(lines) == (3 if width == 500 else 4)
    assert song.removeprefix("…") in "\n".join(lines)
    assert "hooks.example.com" in "\n".join(lines)
    assert all(len(line) <= width for line in lines)
