"""The names under which browsers save stems, whatever the label or the song's address says."""

import re
from email.message import Message
from urllib.parse import unquote

import pytest

from common.storage.file_names import attachment
from common.tasks.messages import Separated
from tests.support.uploader.uploader_harness import TASK_UUID
from uploader.file_names import content_disposition

EMOJI = "🎧" * 200


def header_of(label: str | None, audio: str | None = None, stem: str = "vocals") -> str:
    result = Separated(
        task_uuid=TASK_UUID, submitted_at=1.0, finished_at=2.0, stems={}, model="m", device="cpu",
        label=label, audio=audio,
    )  # fmt: skip
    return content_disposition(result, stem, "flac")


def name_in(header: str) -> str:
    """As a browser reads it, by RFC 8187."""
    return unquote(re.fullmatch(r"attachment; filename=\"[^\"\\]*\"; filename\*=UTF-8''([^;\s]+)", header)[1])


@pytest.mark.parametrize(
    ("label", "expected"),
    [
        ("Artist - Title", "Artist - Title (vocals).flac"),
        ("Sigur Rós – Ný batterí", "Sigur Rós – Ný batterí (vocals).flac"),
        ("a\r\nSet-Cookie: x=1", "a Set-Cookie_ x=1 (vocals).flac"),
        ('"; filename="x.exe', "_; filename=_x.exe (vocals).flac"),
        ("AC/DC\\..\\..", "AC_DC_.._ (vocals).flac"),
        ("../../etc/passwd", "_.._etc_passwd (vocals).flac"),
        ("\u202egnp.exe\u2066\u200f", "gnp.exe (vocals).flac"),
        ("a\u0000b\u2028c\ud800", "a b c (vocals).flac"),
        ("100% %2F é''", "100% %2F é'' (vocals).flac"),
        (EMOJI, f"{'🎧' * 37} (vocals).flac"),
        ("👩\u200d🎤", "👩\u200d🎤 (vocals).flac"),
        ("ä" * 75 + "x", "ä" * 75 + " (vocals).flac"),
        ("a\u0308", "ä (vocals).flac"),
        ("///", "___ (vocals).flac"),
        (" . ", "song (vocals).flac"),
        ("\u202e\u200b", "song (vocals).flac"),
    ],
)
def test_a_label_makes_a_name_that_is_safe_everywhere(label, expected):
    header = header_of(label) if "\ud800" not in label else header_of(label.replace("\ud800", ""))
    assert name_in(header) == expected
    assert header.isascii()
    assert header.isprintable()
    assert len(header) < 1200
    assert len(name_in(header).encode()) <= 255


@pytest.mark.parametrize(
    ("audio", "expected"),
    [
        ("https://example.com/music/My%20Song.mp3", "My Song (vocals).flac"),
        ("https://example.com/%2e%2e%2f%2e%2e%2fetc%2fpasswd", "_.._etc_passwd (vocals).flac"),
        ("https://example.com/a%0d%0ab.wav", "a b (vocals).flac"),
        ("https://example.com/%ff%fe.wav", "\ufffd\ufffd (vocals).flac"),
        ("https://example.com/Vol.%201", "Vol. 1 (vocals).flac"),
        ("https://example.com/", "song (vocals).flac"),
        ("https://[broken", "song (vocals).flac"),
        (None, "song (vocals).flac"),
    ],
)
def test_without_a_label_the_songs_file_gives_the_name(audio, expected):
    assert name_in(header_of(None, audio)) == expected
    assert name_in(header_of("Label", audio)) == "Label (vocals).flac"


def test_an_uploaded_files_name_is_taken_and_not_its_id():
    upload = {"audio": "upload:5f0c6a4e-9d0b-4f63-8f0a-0c7b8f1d2a3e", "submitted_at": 1.0, "finished_at": 2.0}
    result = Separated(
        task_uuid=TASK_UUID, stems={}, model="m", device="cpu", file_name="My: Song.MP3", **upload
    )
    assert name_in(content_disposition(result, "vocals", "flac")) == "My_ Song (vocals).flac"
    unnamed = result.model_copy(update={"file_name": None})
    assert name_in(content_disposition(unnamed, "vocals", "flac")) == "song (vocals).flac"


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("Ärzte 100% 🎧 (vocals).flac", "Arzte 100_ (vocals).flac"),
        ("He said ＂Hi＂： live？.zip", "He said _Hi__ live_.zip"),
        ("AC／DC＼ — live (vocals).flac", "AC_DC_ live (vocals).flac"),
        ("x＂; filename=＂evil.exe.zip", "x_; filename=_evil.exe.zip"),
        ("歌 (vocals).flac", "song (vocals).flac"),
        ("歌.zip", "song.zip"),
        ("歌手 - 歌 (vocals).flac", "song (vocals).flac"),
        ("歌 2 (vocals).flac", "2 (vocals).flac"),
        ("歌 feat. Ä (no_drums).flac", "feat. A (no_drums).flac"),
        ("(I Can't Get No) Satisfaction (vocals).flac", "(I Can't Get No) Satisfaction (vocals).flac"),
        ("(Än) – Ö.zip", "(An) O.zip"),
        ("…Baby One More Time (vocals).flac", "Baby One More Time (vocals).flac"),
    ],
)
def test_programs_that_read_no_rfc_8187_get_a_name_too(name, expected):
    message = Message()
    message["Content-Disposition"] = attachment(name).partition("; filename*=")[0]
    assert message.get_filename() == expected


def test_the_longest_names_of_all_fit_into_255_bytes():
    assert len(name_in(header_of(EMOJI, stem="s" * 64)).encode()) <= 255
