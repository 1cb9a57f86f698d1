"""Formats of songs: which are taken, and how other downloads are described."""

import gzip
import io
import json
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from common.errors import ErrorCode, PermanentError
from processor.audio.containers import text_kind
from processor.audio.prepare import AudioLimits, prepare
from tests.support import audio
from tests.support.processor import songs
from tests.support.processor.songs import by_libsndfile, decoded, encoded, file

SONG = songs.music(1.0)


def refused(path: Path) -> tuple[ErrorCode, str]:
    with pytest.raises(PermanentError) as caught:
        decoded(path)
    return caught.value.code, caught.value.message


@pytest.mark.parametrize(
    ("codec", "container", "least_db"),
    [
        ("pcm_s16be", "caf", 80),
        ("alac", "caf", 80),
        ("wavpack", "wv", 25),
        ("tta", "tta", 25),
        ("pcm_s16le", "avi", 80),
        ("libmp3lame", "avi", None),
        ("wmav2", "asf", None),
        ("wmav1", "asf", None),
        ("pcm_s16be", "au", 80),
        ("pcm_s16le", "w64", 80),
        ("ac3", "ac3", None),
        ("eac3", "eac3", None),
        ("mp2", "mp2", None),
        ("aac", "matroska", None),
        ("alac", "mov", 80),
        ("pcm_s24le", "mov", 80),
        ("pcm_f64le", "matroska", 80),
    ],
)
def test_formats_that_are_taken(tmp_path, codec, container, least_db):
    found, samples = decoded(file(tmp_path / "song", encoded(codec, container, SONG)))
    assert found.frames == pytest.approx(len(SONG), abs=4096)
    assert found.peak == pytest.approx(np.abs(SONG).max(), abs=0.1)
    if least_db is not None:
        assert audio.sdr_db(SONG, samples[: len(SONG)]) > least_db


def _qdm2() -> bytes:
    return encoded("alac", "mov", SONG).replace(b"alac", b"QDM2", 1)


UNSUPPORTED: dict[str, bytes | Callable[[], bytes]] = {
    "Monkey's Audio": b"MAC \x96\x0f" + bytes(2000),
    "DSD (dsf)": b"DSD " + bytes(2000),
    "DSD (dff)": b"FRM8" + bytes(2000),
    "AMR": b"#!AMR\n" + bytes(2000),
    "MIDI (mid)": b"MThd\0\0\0\6\0\1\0\1\0\x60MTrk" + bytes(100),
    "Musepack": b"MPCK" + bytes(2000),
    "TAK": b"tBaK" + bytes(2000),
    "Shorten": b"ajkg" + bytes(2000),
    "RealMedia": b".RMF" + bytes(2000),
    "Flash video": b"FLV\x01" + bytes(2000),
    "MPEG transport stream": (b"G" + bytes(187)) * 20,
    "MPEG programme stream": b"\0\0\x01\xba" + bytes(2000),
    "Creative Voice": b"Creative Voice File\x1a" + bytes(2000),
    "SoundFont": b"RIFF\0\1\0\0sfbk" + bytes(2000),
    "tracker module": b"Extended Module: x" + bytes(2000),
    "Audible": b"\0\0\0\x1cftypaax " + bytes(2000),
    "codec qdm2": _qdm2,
}


@pytest.mark.parametrize("name", UNSUPPORTED)
def test_other_audio_is_named_and_so_are_the_formats_taken(tmp_path, name):
    content = UNSUPPORTED[name]
    code, message = refused(file(tmp_path / "song.mp3", content() if callable(content) else content))
    assert code == ErrorCode.FORMAT_UNSUPPORTED
    assert name in message
    assert "flac, mp3, ogg" in message


def _zip() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("song.wav", by_libsndfile(SONG, "WAV", "PCM_16"))
    return buffer.getvalue()


def _tar() -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("song.wav"))
    return buffer.getvalue()


HTML = "<!doctype html><title>Sign in</title><p>Too many downloads of this file</p>"
S3 = (
    '<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>AccessDenied</Code><Message>Request has expired'
    "</Message><RequestId>4442587FB7D0A2F9</RequestId></Error>"
)
M3U8 = "#EXTM3U\n#EXT-X-VERSION:3\n#EXT-X-TARGETDURATION:10\n#EXTINF:10,\nhttps://example.com/1.ts\n"
OTHERS: dict[str, tuple[bytes, str]] = {
    "a page": (HTML.encode(), "a web page (text/html)"),
    "a page in capitals behind blanks": (b"\r\n \t" + HTML.upper().encode(), "a web page (text/html)"),
    "a page behind a mark and a remark": (b"\xef\xbb\xbf<!-- saved -->\n" + HTML.encode(), "a web page"),
    "a page without a head": (b"<html><body>404 Not Found</body></html>", "a web page (text/html)"),
    "a part of a page": (b"<h1>Not found</h1>", "a web page (text/html)"),
    "XHTML": (b'<?xml version="1.0"?><!DOCTYPE html PUBLIC "-//W3C"><html/>', "a web page (text/html)"),
    "a page in UTF-16": (HTML.encode("utf-16"), "a web page (text/html)"),
    "a page in Latin-1": ("<html><p>Zugriff verweigert für Gäste".encode("latin-1"), "a web page"),
    "a page with a control sign": (b"<!DOCTYPE html>\n<p>\x01\x02", "a web page (text/html)"),
    "a page of a megabyte": (HTML.encode() + b"<p>x</p>" * 130_000, "a web page (text/html)"),
    "a page behind a tag": (songs.id3v2(bytes(500)) + HTML.encode(), "a web page (text/html)"),
    "S3": (S3.encode(), "an error message in XML (application/xml) with the code AccessDenied"),
    "S3 without a head": (b"<Error><Code>NoSuchKey</Code></Error>", "with the code NoSuchKey"),
    "Azure": (b"\xef\xbb\xbf" + S3.replace("AccessDenied", "BlobNotFound").encode(), "code BlobNotFound"),
    "XML": (b"<?xml version='1.0'?><songs/>", "an XML text (application/xml)"),
    "a podcast": (b'<?xml version="1.0"?>\n<rss version="2.0"><channel/></rss>', "a feed"),
    "SVG": (b'<svg xmlns="http://www.w3.org/2000/svg"/>', "a picture"),
    "a JSON error": (json.dumps({"error": {"code": 403}}).encode(), "an error message in JSON"),
    "a JSON problem": (b' {"title": "x", "detail": "gone", "status": 410}', "an error message in JSON"),
    "JSON": (b"[1, 2, 3]", "a JSON text (application/json)"),
    "a long JSON": (json.dumps({"songs": ["x" * 50] * 1000}).encode(), "a JSON text"),
    "m3u": (b"#EXTM3U\n#EXTINF:123,Song\nsong.mp3\n", "an M3U playlist"),
    "plain m3u": (b"https://example.com/a.mp3\r\nhttps://example.com/b.mp3\r\n", "a list of addresses"),
    "m3u8": (M3U8.encode(), "an HLS playlist"),
    "m3u8 behind a mark": (b"\xef\xbb\xbf" + M3U8.encode(), "an HLS playlist"),
    "pls": (b"[playlist]\nFile1=https://example.com/a.mp3\nNumberOfEntries=1\n", "a PLS playlist"),
    "xspf": (b'<?xml version="1.0"?><playlist xmlns="http://xspf.org/ns/0/"/>', "an XSPF playlist"),
    "asx": (b'<asx version="3.0"><entry/></asx>', "an ASX playlist"),
    "dash": (b'<?xml version="1.0"?><MPD type="static"/>', "a DASH playlist"),
    "cue": (b'PERFORMER "X"\nFILE "a.wav" WAVE\n  TRACK 01 AUDIO\n', "a cue sheet"),
    "PDF": (b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n", "a PDF document (application/pdf)"),
    "zip": (_zip(), "a zip archive (application/zip)"),
    "tar": (_tar(), "a tar archive"),
    "gzip": (gzip.compress(b"x" * 1000), "a gzip archive"),
    "rar": (b"Rar!\x1a\x07\x01\0" + bytes(100), "a RAR archive"),
    "7z": (b"7z\xbc\xaf\x27\x1c" + bytes(100), "a 7z archive"),
    "JPEG": (b"\xff\xd8\xff\xe0\0\x10JFIF" + bytes(1000), "a picture (image/jpeg)"),
    "PNG": (b"\x89PNG\r\n\x1a\n" + bytes(1000), "a picture (image/png)"),
    "WebP": (b"RIFF\0\1\0\0WEBPVP8 " + bytes(1000), "a picture (image/webp)"),
    "a program": (b"\x7fELF\x02\x01\x01" + bytes(1000), "a program"),
    "a torrent": (b"d8:announce35:https://example.com", "a torrent"),
    "blanks": (b" \r\n\t\n", "an empty text"),
    "a mark alone": (b"\xef\xbb\xbf", "an empty text"),
    "a line": (b"Not found", "a text (text/plain)"),
    "text": ("Zu viele Anfragen, später wieder.\n".encode() * 1000, "a text (text/plain)"),
}


@pytest.mark.parametrize(("content", "what"), OTHERS.values(), ids=OTHERS)
def test_what_is_no_audio_is_called_by_its_name(tmp_path, content, what):
    code, message = refused(file(tmp_path / "song.mp3", content))
    assert code == ErrorCode.NOT_AUDIO
    assert what in message


def test_the_name_comes_out_of_the_limited_process(tmp_path):
    path = file(tmp_path / "song.mp3", HTML.encode())
    with pytest.raises(PermanentError, match=r"a web page \(text/html\)") as caught:
        prepare(path, tmp_path / "mix", AudioLimits(60, 2), lambda: None)
    assert caught.value.code == ErrorCode.NOT_AUDIO


def test_a_texts_own_words_are_not_told(tmp_path):
    """They may be a host's secrets, and everything but a short code is the host's free choice."""
    secret = "<Error><Code>Sec ret&lt;</Code><Message>hidden</Message></Error>"
    _, message = refused(file(tmp_path / "song", secret.encode()))
    assert "hidden" not in message
    assert "ret" not in message


@pytest.mark.parametrize(
    "song",
    [
        lambda: encoded("libmp3lame", "mp3", SONG),
        lambda: by_libsndfile(SONG, "FLAC", "PCM_16"),
        lambda: by_libsndfile(SONG, "OGG", "VORBIS"),
        lambda: encoded("aac", "adts", SONG),
        lambda: bytes(5000),
        lambda: np.random.default_rng(0).bytes(16_384),
    ],
    ids=["mp3", "flac", "ogg", "aac", "zeros", "noise"],
)
def test_songs_are_no_texts(song):
    assert text_kind.describe(song()[:16_384]) is None
