"""Finds the stems of a song that was separated before, for the same user and with the same choices."""

import hashlib
import json
import logging
import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from common import __version__
from common.observability.repeats import Repeats
from common.settings.schema import ProcessorSettings
from common.storage import bucket_keys
from common.tasks.messages import Task
from common.tasks.messages.manifest import CacheEntry, as_cache_entry
from common.waiting import StopCheck
from processor.audio.prepare import PreparedAudio
from processor.engine.protocol import Installed
from processor.presets.maker import Plan

if TYPE_CHECKING:
    from common.storage.bucket import Bucket

log = logging.getLogger(__name__)

_BLOCK_BYTES = 1 << 20
# A look-up must be worth its time: a store that is slower costs more than it saves.
_CONNECT_TIMEOUT_S, _READ_TIMEOUT_S = 3.0, 5.0
# Two digests each, so all together take a few MB.
_MOST_FILES = 10_000


@dataclass(frozen=True)
class SongDigests:
    """What a song is known by. `settled` is all that its stems depend on but the song itself.

    `file` is a digest of that, the downloaded bytes and the window. `stems` is the one that
    `ResultCache.digest` returns, if this process has prepared such a file before.
    """

    settled: Mapping[str, Any]
    file: str
    stems: str | None


class _PreparedFiles:
    """The digests of stems, by those of the files that they were made of. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._digests: OrderedDict[str, str] = OrderedDict()

    def find(self, file: str) -> str | None:
        with self._lock:
            return self._digests.get(file)

    def keep(self, file: str, stems: str) -> None:
        """Forgets the file that was kept first, if there are too many."""
        with self._lock:
            self._digests[file] = stems
            if len(self._digests) > _MOST_FILES:
                self._digests.popitem(last=False)


class ResultCache:
    """Looks up entries, which uploaders write. Thread-safe. No error of the store fails a task."""

    def __init__(
        self,
        bucket: "Bucket",
        s3_prefix: str,
        kept_for_s: float,
        installed: Callable[[], Sequence[Installed]],
        wall_clock: Callable[[], float],
    ):
        """`installed` returns the models with their digests. `wall_clock` gives seconds since the epoch."""
        self._bucket, self._prefix, self._kept_for_s = bucket, s3_prefix, kept_for_s
        self._installed, self._wall_clock = installed, wall_clock
        self._repeats = Repeats()
        self._files = _PreparedFiles()

    def recall(self, plan: Plan, path: Path, check: StopCheck) -> SongDigests | None:
        """Look whether such a file was prepared before: then its digest is known without decoding it.

        Return None where a model's own digest is unknown. Raises OSError, and what `check` raises.
        """
        settled = self._settled(plan)
        if settled is None:
            return None
        # The name's extension, too: it helps to tell formats apart.
        song = {"window": asdict(plan.window), "file": [path.suffix, _sha256(path, check)]}
        file = _digest(settled | song)
        return SongDigests(settled, file, self._files.find(file))

    def digest(self, plan: Plan, mix: PreparedAudio, song: SongDigests, check: StopCheck) -> str:
        """Return the digest of all that the stems depend on.

        That is the samples, the recipe with its models' digests and runtimes, the output, and the product's
        version. `mix` was prepared from `song`. Raises OSError, and what `check` raises.
        """
        if song.stems is not None:
            return song.stems
        source, found = mix.source, dict(song.settled)
        found["mix"] = _sha256(mix.path, check)
        found["source"] = None if source.path == mix.path else _sha256(source.path, check)
        if plan.output.keep_tags:
            cover = source.cover and _sha256(Path(source.cover.path), check)
            found |= {"tags": dict(source.tags), "cover": cover}
        digest = _digest(found)
        self._files.keep(song.file, digest)
        return digest

    def _settled(self, plan: Plan) -> dict[str, Any] | None:
        """Return all that the stems depend on but the song; None where a model's own digest is unknown."""
        by_name = {model.name: model for model in self._installed()}
        models = [by_name.get(name) for name in plan.recipe.models]
        known = [
            [m.sha256, m.rest_sha256, m.runtime, m.precision] for m in models if m is not None and m.sha256
        ]
        if len(known) < len(models):
            return None
        return {
            "version": __version__,
            "recipe": asdict(plan.recipe),
            "models": known,
            "output": asdict(plan.output),
            "writes_directly": plan.writes_directly,
        }

    def find(self, task: Task, digest: str) -> CacheEntry | None:
        """Return the user's entry if it is young enough.

        Whether its stems are still there only the uploader sees: a processor's keys reach no result.
        """
        # Imported here, as wherever a processor uses the bucket: most processors do without boto3.
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            entry = as_cache_entry(self._bucket.get(bucket_keys.cached(self._prefix, task.user, digest)))
        except (BotoCoreError, ClientError) as error:
            # S3 also refuses what is not there, where the keys may not list.
            if self._repeats.is_news(error):
                log.warning("the cache cannot be asked, and songs are separated: %s", error)
            return None
        if entry is None or self._wall_clock() - entry.created_at >= self._kept_for_s:
            return None
        return entry


def make_cache(
    settings: ProcessorSettings,
    installed: Callable[[], Sequence[Installed]],
    wall_clock: Callable[[], float],
) -> ResultCache | None:
    """Return the cache of the settings; None without RESULT_CACHE_S. Raises ValueError for bad settings."""
    if not settings.result_cache_s:
        return None
    if not settings.s3_bucket_name:
        raise ValueError("RESULT_CACHE_S: expected S3_BUCKET_NAME too, the bucket that has the stems")
    import boto3

    from common.storage.bucket import Bucket
    from common.storage.s3_client import make_client

    client = make_client(
        boto3.session.Session(),
        settings,
        settings.s3_endpoint_url,
        connect_timeout=_CONNECT_TIMEOUT_S,
        read_timeout=_READ_TIMEOUT_S,
        tries=1,
        connections=settings.slots,
    )
    bucket = Bucket(client, settings.s3_bucket_name)
    return ResultCache(bucket, settings.s3_prefix, settings.result_cache_s, installed, wall_clock)


def _digest(settled: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(settled, sort_keys=True).encode()).hexdigest()


def _sha256(path: Path, check: StopCheck) -> str:
    """Return the digest of a file. The header of a WAV file of ours has no more than format and length."""
    found = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(_BLOCK_BYTES):
            check()
            found.update(block)
    return found.hexdigest()
