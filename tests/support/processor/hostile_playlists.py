"""Files that name another file, in every way that a demuxer knows. `{canary}` is the other one's path."""

import struct
from pathlib import Path

import numpy as np

from tests.support import audio

PLAYLISTS = {
    "a.ffconcat": "ffconcat version 1.0\nfile '{canary}'\n",
    "url.ffconcat": "ffconcat version 1.0\nfile 'file:{canary}'\nduration 10\n",
    "beside.ffconcat": "ffconcat version 1.0\nfile {name}\n",
    "nested.concat": "ffconcat version 1.0\nstream\nfile 'concat:{canary}|{canary}'\n",
    "a.m3u8": "#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:10,\n{canary}\n#EXT-X-ENDLIST\n",
    "beside.m3u8": "#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:10,\n{name}\n#EXT-X-ENDLIST\n",
    "key.m3u8": "#EXTM3U\n#EXT-X-TARGETDURATION:10\n"
    '#EXT-X-KEY:METHOD=AES-128,URI="{canary}"\n#EXTINF:10,\n{canary}\n#EXT-X-ENDLIST\n',
    "map.m3u8": '#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXT-X-MAP:URI="{canary}"\n#EXTINF:9,\n{canary}\n',
    "variants.m3u8": "#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=128000\n{canary}\n",
    "a.m3u": "#EXTM3U\n#EXTINF:123,Song\n{canary}\n",
    "a.mpd": '<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static"><Period>'
    "<AdaptationSet><Representation><BaseURL>{canary}</BaseURL></Representation></AdaptationSet>"
    "</Period></MPD>",
    "entity.mpd": '<?xml version="1.0"?><!DOCTYPE x [<!ENTITY e SYSTEM "file://{canary}">]>'
    '<MPD xmlns="urn:mpeg:dash:schema:mpd:2011"><Period>&e;</Period></MPD>',
    "a.sdp": "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\n"
    "m=audio 5004 RTP/AVP 0\na={canary}\n",
    "a.pls": "[playlist]\nFile1={canary}\nLength1=-1\nNumberOfEntries=1\n",
    "a.asx": '<asx version="3.0"><entry><ref href="{canary}"/></entry></asx>',
    "a.xspf": '<?xml version="1.0"?><playlist version="1" xmlns="http://xspf.org/ns/0/"><trackList>'
    "<track><location>file://{canary}</location></track></trackList></playlist>",
    "a.smil": '<smil><body><audio src="{canary}"/></body></smil>',
    "a.cue": 'FILE "{canary}" WAVE\n  TRACK 01 AUDIO\n    INDEX 01 00:00:00\n',
    "a.vqf": "concat:{canary}|{canary}",
    "b.vqf": "subfile,,start,0,end,0,,:{canary}",
    "c.vqf": "data:audio/x-mpegurl,{canary}",
    "a.ram": "file://{canary}\n",
    "a.imf": '<?xml version="1.0"?><CompositionPlaylist xmlns="http://www.smpte-ra.org/schemas/2067-3/2016">'
    "<Id>{canary}</Id></CompositionPlaylist>",
    "a.avs": 'AviSource("{canary}")\n',
    "a.vpy": "import os; open('{canary}')\n",
    "a.txt": "RTSPtextRTSP://{canary}",
}


def external_mov(path: Path, canary: Path, levels: int) -> Path:
    """A QuickTime file whose sound is said to be in another one: beside it (`levels` 1), or anywhere (0)."""
    data = audio.encode(path, audio.noise(0.5), "pcm_s16le", container="mov", bit_rate=None).read_bytes()
    alias = _alias(canary, levels)
    return _with_data_reference(path, data, alias)


def _alias(canary: Path, levels: int) -> bytes:
    """A Macintosh alias record, as FFmpeg reads it."""
    name = canary.name.encode()
    record = bytes(10) + b"\0" + bytes(27) + bytes(12) + bytes([len(name)]) + name.ljust(63, b"\0")
    record += bytes(16) + struct.pack(">HH", levels, levels) + bytes(16)
    where = str(canary).encode()
    record += struct.pack(">HH", 2, len(where)) + where + bytes(len(where) % 2)
    return record + struct.pack(">HH", 0xFFFF, 0)


def _with_data_reference(path: Path, data: bytes, record: bytes) -> Path:
    entry = struct.pack(">I4sI", 12 + len(record), b"alis", 0) + record
    at = data.index(b"dref") - 4
    old = struct.unpack_from(">I", data, at)[0]
    box = struct.pack(">I4sII", 16 + len(entry), b"dref", 0, 1) + entry
    patched = bytearray(data[:at] + box + data[at + old :])
    place = 0
    for parent in (b"moov", b"trak", b"mdia", b"minf", b"dinf"):
        # The sound's own handler comes before its `minf`; a data handler's name may hold any of these words.
        place = patched.index(parent, place)
        size = struct.unpack_from(">I", patched, place - 4)[0]
        struct.pack_into(">I", patched, place - 4, size + len(box) - old)
    path.write_bytes(patched)
    return path


def silence(path: Path) -> Path:
    """A song that could be played in place of the hostile one."""
    return audio.write(path, np.zeros((4410, 2), np.float32))
