"""A task that chooses its output and a part of the song gets such stems; a bad window leaves nothing."""

import functools

import numpy as np
import pytest
import soundfile

from common.errors import ErrorCode, PermanentError
from common.kafka.records import Record
from common.tasks import messages
from common.tasks.messages import Task, WrittenOutput
from common.tasks.messages.choices import Choices, Output
from processor.audio import song_tags
from processor.engine.protocol import Computed, Separation, StemFile
from processor.separation.loaded_model import Residual
from tests.support.common.worker.fakes import FakeContext, run
from tests.support.http_server import ScriptedServer, serve
from tests.support.processor import songs
from tests.support.processor.finishing import by_ffmpeg
from tests.support.processor.pictures import id3_picture, id3_text, png, tagged_mp3
from tests.support.processor.processor_harness import TASK_UUID, ProcessorHarness

RATE = 48000


@functools.cache
def song() -> np.ndarray:
    return songs.music(3, RATE)


@functools.cache
def mp3() -> bytes:
    plain = songs.encoded("libmp3lame", "mp3", song(), RATE, id3v2_version="0")
    return tagged_mp3(plain, id3_text(b"TIT2", b"Song"), id3_picture(png()))


class HalfEngine:
    """Gives half of the mix as vocals, in floats."""

    def separate(self, source, target_dir, check, on_progress, model=None, floats=False) -> Separation:
        assert floats
        samples, rate = soundfile.read(source, dtype="float32")
        assert rate == 44100
        soundfile.write(path := target_dir / "vocals.wav", samples / 2, rate, "FLOAT")
        stems = {"vocals": StemFile(path, len(samples), len(samples) / rate)}
        computed = Computed("torch", "fp32")
        return Separation(stems, 1.0, "half", "cpu", 0.1, computed, Residual("instrumental", "vocals"))


@pytest.fixture
def harness(tmp_path):
    with ScriptedServer() as server:
        server.on("/song.mp3", serve(mp3(), content_type="audio/mpeg"))
        yield ProcessorHarness(tmp_path, server)


def record(harness, choices: Choices) -> Record:
    url = harness.server.url + "/song.mp3"
    task = Task(
        task_uuid=TASK_UUID, audio=url, hook_url="http://hook.example/", submitted_at=1.0, choices=choices
    )
    return Record("tasks", 0, 5, b"other", task.to_bytes())


@pytest.mark.parametrize(
    ("output", "written"),
    [
        ({"format": "m4a"}, {"format": "m4a", "bitrate_kbps": 320}),
        ({"format": "wav", "bit_depth": 24}, {"format": "wav", "bit_depth": 24}),
    ],
)
def test_stems_are_as_the_task_chose(harness, tmp_path, output, written):
    chosen = Output(**output, sample_rate="source", tags="keep")
    choices = Choices(output=chosen, start_s=1, duration_s=1.5)
    done = run(harness.handler(HalfEngine()), record(harness, choices), FakeContext())
    result = messages.decode_result(done.messages[0].value)
    assert result.output == WrittenOutput(sample_rate_hz=RATE, normalize="none", **written)
    total = np.zeros((RATE * 3 // 2, 2))
    for stem in result.stems.values():
        path = harness.stage.path(stem.key)
        assert path.suffix == f".{written['format']}"
        assert stem.duration_s == 1.5
        samples, rate = by_ffmpeg(path)
        assert (len(samples), rate) == (len(total), RATE)
        total += samples if samples.dtype == np.float32 else samples / 2**31
    assert np.abs(total - song()[RATE : RATE * 5 // 2]).max() < 0.2
    found = song_tags.read(harness.stage.path(result.stems["vocals"].key), tmp_path / "read.wav")
    assert found.texts == {"title": "Song (vocals)"}
    assert (found.cover is not None) == (written["format"] == "m4a")
    harness.assert_no_temporary_files()


def test_a_window_beyond_the_songs_end_fails_and_leaves_nothing(harness):
    with pytest.raises(PermanentError) as caught:
        run(harness.handler(HalfEngine()), record(harness, Choices(start_s=4)), FakeContext())
    assert caught.value.code == ErrorCode.WINDOW_EMPTY
    harness.assert_no_temporary_files()


def test_the_operators_format_may_be_one_that_the_engine_does_not_write(harness):
    handler = harness.handler(HalfEngine(), format="ogg")
    done = run(handler, record(harness, Choices(duration_s=1)), FakeContext())
    result = messages.decode_result(done.messages[0].value)
    assert (result.output.format, result.output.bitrate_kbps) == ("ogg", 320)
    assert len(by_ffmpeg(harness.stage.path(result.stems["vocals"].key))[0]) == 44100
