"""Describes the work of the process that writes stems, as both sides of its channel know it."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from common.storage.stage_keys import PEAKS_FILE
from processor.audio.cover import Cover
from processor.child_process import JsonObject

if TYPE_CHECKING:  # pydantic takes half of the time in which the writing process starts
    from common.tasks.messages.choices import Format
    from processor.output.resolved import BitDepth


@dataclass(frozen=True)
class WritingJob:
    """The stems of one song and how to write them. All paths name float32 stereo WAV files.

    `stems` are at 44.1 kHz. `residual` is (name, of): the stem `name` is `whole` minus the stem `of`, at the
    files' rate. `normalize` is that of the output; `target_lufs` is its loudness, which is
    measured on `song`. `tags` are texts by FFmpeg's names.

    Each file gets `frames` frames at `rate` in Hz, and is named `<stem>.<format>` in `target_dir`; `wanted`
    are the stems that get one.
    """

    stems: Mapping[str, str]
    residual: tuple[str, str] | None
    whole: str
    song: str
    wanted: tuple[str, ...]
    target_dir: str
    rate: int
    frames: int
    format: "Format"
    bit_depth: "BitDepth | None"
    bitrate_kbps: int | None
    normalize: str
    target_lufs: float | None
    tags: Mapping[str, str] = field(default_factory=dict)
    cover: Cover | None = None

    @property
    def names(self) -> tuple[str, ...]:
        """The names of all stems, wanted or not."""
        return (*self.stems, self.residual[0]) if self.residual else tuple(self.stems)

    def path(self, name: str) -> Path:
        """Return the path of the finished stem."""
        return Path(self.target_dir) / f"{name}.{self.format}"

    @property
    def peaks_path(self) -> Path:
        """The path of the stems' peaks."""
        return Path(self.target_dir) / PEAKS_FILE

    def tags_of(self, name: str) -> dict[str, str]:
        """Return the stem's tags: the song's, with the stem's name behind the title."""
        title = self.tags.get("title")
        return {**self.tags, "title": f"{title} ({name})"} if title else dict(self.tags)

    def part(self, name: str) -> Path:
        """Return the path of the stem while it is being written."""
        return Path(self.target_dir) / f"{name}.part"

    def to_json(self) -> JsonObject:
        return asdict(self)

    @classmethod
    def from_json(cls, message: JsonObject) -> "WritingJob":
        residual, cover = message["residual"], message["cover"]
        fields = {
            "wanted": tuple(message["wanted"]),
            "residual": tuple(residual) if residual else None,
            "cover": Cover(**cover) if cover else None,
        }
        return cls(**{**message, **fields})
