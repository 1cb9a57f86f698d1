"""Tells from a file's first bytes which audio format it has, or what else it is.

FFmpeg gets only files that begin like audio or like nothing known.
"""

from common.errors import ErrorCode, PermanentError
from processor.audio.containers import text_kind

HEAD_BYTES = 65_536
TAKEN = (
    "wav (also RF64, BW64, W64), flac, mp3, ogg (Vorbis, Opus, FLAC, Speex), m4a/mp4/mov, mka/mkv/webm, aac, "
    "aiff, caf, au, wv, tta, wma, avi, ac3, eac3 and dts"
)
W64_RIFF = bytes.fromhex("726966662e91cf11a5d628db04c10000")

# Offset, bytes at that offset, and FFmpeg's name of the demuxer.
_DEMUXERS = (
    (0, b"fLaC", "flac"),
    (0, b"OggS", "ogg"),
    (0, bytes.fromhex("1a45dfa3"), "matroska"),
    (0, b"caff", "caf"),
    (0, b"wvpk", "wv"),
    (0, b"TTA1", "tta"),
    (0, b".snd", "au"),
    (0, bytes.fromhex("3026b2758e66cf11a6d900aa0062ce6c"), "asf"),
    (0, W64_RIFF, "wav"),
    *((4, box, "mov") for box in (b"ftyp", b"moov", b"mdat", b"wide", b"styp")),
)
_WAV_HEADS = (b"RIFF", b"RIFX", b"RF64", b"BW64")
_RIFF_FORMS = {b"WAVE": "wav", b"AVI ": "avi"}
_FORM_TYPES = {b"AIFF": "aiff", b"AIFC": "aiff"}

_UNSUPPORTED = (
    (0, b"MAC ", "Monkey's Audio (ape)"),
    (0, b"DSD ", "DSD (dsf)"),
    (0, b"FRM8", "DSD (dff)"),
    (0, b"#!AMR", "AMR (amr)"),
    (0, b"MThd", "MIDI (mid): notes, which have no sound of their own"),
    (8, b"RMID", "MIDI (rmi): notes, which have no sound of their own"),
    (8, b"XWMA", "xWMA"),
    (0, b"MP+", "Musepack (mpc)"),
    (0, b"MPCK", "Musepack (mpc)"),
    (0, b"tBaK", "TAK (tak)"),
    (0, b"TTA2", "True Audio 2 (tta)"),
    (0, b"ajkg", "Shorten (shn)"),
    (0, b"OFR ", "OptimFROG (ofr)"),
    (0, b".RMF", "RealMedia (rm)"),
    (0, b".ra\xfd", "RealAudio (ra)"),
    (0, b"FLV\x01", "Flash video (flv)"),
    (0, b"\0\0\x01\xba", "an MPEG programme stream (mpg, vob)"),
    (0, b"Creative Voice File", "Creative Voice (voc)"),
    (0, b"NIST_1A", "NIST Sphere (sph)"),
    (8, b"8SVX", "IFF 8SVX"),
    (0, b"qoaf", "QOA (qoa)"),
    (0, b"#!SILK", "SILK (silk)"),
    (1, b"#!SILK", "SILK (silk)"),
    (0, b"Extended Module:", "a tracker module (xm)"),
    (0, b"IMPM", "a tracker module (it)"),
    (44, b"SCRM", "a tracker module (s3m)"),
    (1080, b"M.K.", "a tracker module (mod)"),
    (8, b"sfbk", "a SoundFont (sf2)"),
    (4, b"ftypaax", "Audible (aax), which is encrypted"),
)
_TRANSPORT_PACKET = 188

_OTHER_FILES = (
    (0, b"%PDF", "a PDF document (application/pdf)"),
    (0, b"PK\x03\x04", "a zip archive (application/zip)"),
    (0, b"PK\x05\x06", "an empty zip archive (application/zip)"),
    (0, b"\x1f\x8b\x08", "a gzip archive (application/gzip)"),
    (0, b"Rar!\x1a\x07", "a RAR archive (application/vnd.rar)"),
    (0, b"7z\xbc\xaf\x27\x1c", "a 7z archive (application/x-7z-compressed)"),
    (0, b"\xfd7zXZ\0", "an xz archive (application/x-xz)"),
    (0, b"\x28\xb5\x2f\xfd", "a Zstandard archive (application/zstd)"),
    (0, b"BZh", "a bzip2 archive (application/x-bzip2)"),
    (257, b"ustar", "a tar archive (application/x-tar)"),
    (0, b"\x89PNG\r\n", "a picture (image/png)"),
    (0, b"\xff\xd8\xff", "a picture (image/jpeg)"),
    (0, b"GIF8", "a picture (image/gif)"),
    (8, b"WEBP", "a picture (image/webp)"),
    (0, b"II*\0", "a picture (image/tiff)"),
    (0, b"MM\0*", "a picture (image/tiff)"),
    (0, b"\x7fELF", "a program"),
    (0, b"MZ", "a program"),
    (0, b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "an Office document"),
    (0, b"{\\rtf", "a text document (application/rtf)"),
    (0, b"SQLite format 3\0", "a database"),
    (0, b"d8:announce", "a torrent (application/x-bittorrent)"),
)
# These two are too short to rule out audio that begins with junk.
_WEAK_MARKS = (b"MZ", b"BZh")


def demuxer(head: bytes) -> str | None:
    """Return FFmpeg's name for the format of a file with this `head`; None where FFmpeg must find out.

    Raises PermanentError: format_unsupported for audio of other formats, not_audio for other known files.
    """
    if name := _find(_DEMUXERS, head) or _chunked(head):
        if unsupported := _find(_UNSUPPORTED, head):
            raise format_unsupported(unsupported)
        return name
    if unsupported := _find(_UNSUPPORTED, head):
        raise format_unsupported(unsupported)
    if _is_transport_stream(head):
        raise format_unsupported("an MPEG transport stream (ts)")
    if other := _find(_OTHER_FILES, head) or text_kind.describe(head):
        raise not_audio(f"it is {other}")
    return None


def not_audio(why: str) -> PermanentError:
    """Return the error for a file that is no audio; `why` completes its message."""
    return PermanentError(ErrorCode.NOT_AUDIO, f"The file is not audio that we can read: {why}")


def format_unsupported(what: str) -> PermanentError:
    """Return the error for audio of a format that is not taken; `what` names the format."""
    message = f"The file's format is not supported: it is {what}. Formats taken: {TAKEN}"
    return PermanentError(ErrorCode.FORMAT_UNSUPPORTED, message)


def _find(table: tuple[tuple[int, bytes, str], ...], head: bytes) -> str | None:
    for place, mark, name in table:
        if head.startswith(mark, place) and not (mark in _WEAK_MARKS and not _looks_like(mark, head)):
            return name
    return None


def _looks_like(mark: bytes, head: bytes) -> bool:
    """Tell whether a file that begins with `mark`, one of `_WEAK_MARKS`, is of that kind."""
    if mark == b"MZ":
        return b"PE\0\0" in head[:1024]
    return head[4:10] == b"1AY&SY"


def _chunked(head: bytes) -> str | None:
    """Return the demuxer for a file that begins with RIFF or FORM; None for other files."""
    if head[:4] in _WAV_HEADS:
        return _RIFF_FORMS.get(head[8:12])
    return _FORM_TYPES.get(head[8:12]) if head[:4] == b"FORM" else None


def _is_transport_stream(head: bytes) -> bool:
    """Tell whether eight packets of 188 bytes begin with 0x47, each perhaps after a time of four bytes."""
    for offset, packet in ((0, _TRANSPORT_PACKET), (4, _TRANSPORT_PACKET + 4)):
        syncs = head[offset : offset + 8 * packet : packet]
        if len(syncs) == 8 and set(syncs) == {0x47}:
            return True
    return False
