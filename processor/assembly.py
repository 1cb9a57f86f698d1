"""Builds the processor's parts from its settings."""

import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from common.outbound.addresses import AddressPolicy
from common.outbound.guarded_session import OutboundNetwork
from common.settings.loading import exit_for_bad_settings, exit_if_unusable
from common.settings.schema import ProcessorSettings
from common.storage.stage import LocalStage
from common.storage.stage_interface import Stage
from common.tasks.cancels import Cancels
from common.tasks.job_status import Outbox, Statuses
from common.tasks.stage_news import StageWatch
from processor import work_directory
from processor.announcer import Announcer, Identity, Room
from processor.audio.partial_file import PartialDownloads
from processor.audio.prepare import AudioLimits
from processor.audio.transfer import DownloadLimits
from processor.cache import ResultCache, make_cache
from processor.child_process import Spawn
from processor.engine.protocol import EngineConfig, Installed, SeparationEngine
from processor.fetching import Fetcher
from processor.handler import ProcessorConfig, ProcessorHandler
from processor.metrics import ProcessorMetrics
from processor.presets import schema
from processor.presets.recipe import Recipes
from processor.presets.schema import BadPresets, product_file

if TYPE_CHECKING:
    from processor.upload_reader import UploadReader


def engine_config(settings: ProcessorSettings) -> EngineConfig:
    """Return the engine's part of the settings."""
    return EngineConfig(
        model_name=settings.model_name,
        model_dir=settings.model_file_dir,
        device=settings.device,
        precision=settings.precision,
        # The engine writes no other format itself; its float stems are finished in any.
        output_format=settings.output_format if settings.output_format in ("wav", "flac", "mp3") else "wav",
        max_jobs=settings.engine_max_jobs,
        job_timeout_s=settings.engine_job_timeout_s,
        more_models=settings.models,
        warm_models=settings.engine_models,
    )


def open_stage(settings: ProcessorSettings) -> Stage:
    """Return the settings' stage. Raises SystemExit where OUTPUT_DIR is the stage and cannot be used."""
    if settings.stage == "s3":
        # Loading boto3 takes 0.4 s and 25 MB: only a processor that needs the bucket pays for that.
        from common.storage.bucket_stage import open_bucket_stage

        return open_bucket_stage(settings, connections=settings.slots + 1)
    stage = LocalStage(settings.output_dir.resolve())
    with exit_if_unusable("OUTPUT_DIR", stage.root):
        stage.open()
    return stage


def own_directories(settings: ProcessorSettings) -> dict[str, Path]:
    """Return the directories whose disks the metrics report, by name."""
    shared = {"output": settings.output_dir} if settings.stage == "path" else {}
    return {"temp": settings.temp_dir, **shared}


def download_limits(settings: ProcessorSettings) -> DownloadLimits:
    """Return the limits of one download, in bytes and seconds."""
    return DownloadLimits(
        settings.max_audio_bytes,
        settings.download_deadline_s,
        min_bytes_per_s=settings.min_download_bytes_per_s,
    )


def make_handler(
    settings: ProcessorSettings,
    engine: SeparationEngine,
    stage: Stage,
    outbox: Outbox,
    metrics: ProcessorMetrics,
    cancels: Cancels,
    stages: StageWatch,
    recipes: Recipes,
    cache: ResultCache | None,
    spawn: Spawn,
) -> ProcessorHandler:
    """Build the handler with a work directory of its own below TEMP_DIR, kept for the process's life.

    Raises SystemExit where TEMP_DIR cannot be used.
    """
    temp_dir = settings.temp_dir.resolve()
    with exit_if_unusable("TEMP_DIR", temp_dir):
        directory = work_directory.claim(temp_dir, settings.worker_id)
    network = OutboundNetwork(AddressPolicy.from_settings(settings), ca_file=settings.outbound_ca_file)
    return ProcessorHandler(
        ProcessorConfig(
            settings.kafka_result_topic,
            directory.path,
            len(settings.retry_delays_s),
            download_limits(settings),
            AudioLimits(settings.max_audio_duration_s, settings.max_audio_channels),
            settings.output_format,
        ),
        network,
        engine,
        stage,
        Statuses(settings.kafka_status_topic, outbox, time.time, settings.worker_id),
        metrics=metrics,
        cancels=cancels,
        stages=stages,
        recipes=recipes,
        cache=cache,
        fetcher=Fetcher(
            download_limits(settings),
            network,
            partial(upload_reader, settings),
            PartialDownloads(temp_dir / "uvr-downloads", _partials_kept_for_s(settings), time.time),
        ),
        spawn=spawn,
    )


def make_result_cache(
    settings: ProcessorSettings, installed: Callable[[], Sequence[Installed]]
) -> ResultCache | None:
    """Return the cache of the settings, if there is to be one. Raises SystemExit for bad settings."""
    try:
        return make_cache(settings, installed, time.time)
    except ValueError as error:
        exit_for_bad_settings(str(error))


def _partials_kept_for_s(settings: ProcessorSettings) -> float:
    """Return how long what came of a download waits for the next attempt, in seconds.

    A job that waits for its last retry finds what it had. An hour also covers the way of a killed processor's
    job to another one where the retries are quick.
    """
    return max(3600.0, 2.0 * settings.retry_delays_s[-1])


def upload_reader(settings: ProcessorSettings) -> "UploadReader":
    """Return what reads uploaded songs. Raises PermanentError, which says which setting is missing."""
    # Imported here: a processor that reads no upload does without boto3, and its memory.
    from processor.upload_reader import make_reader

    return make_reader(settings)


def make_announcer(
    settings: ProcessorSettings, room: Room, recipes: Recipes, outbox: Outbox, running: Callable[[], int]
) -> Announcer:
    """Return what announces the processor; `running` returns how many tasks it works on."""
    identity = Identity(settings.worker_id, settings.kafka_models_topic, settings.slots, running)
    return Announcer(identity, room, recipes, outbox)


def make_recipes(settings: ProcessorSettings, stems_of: Callable[[str], tuple[str, ...]]) -> Recipes:
    """Return the recipes of the settings' models and presets; `stems_of` gives a model's stems, or ().

    Raises SystemExit where a file of presets is wrong.
    """
    files = filter(None, (product_file(), settings.presets_file))
    try:
        return Recipes(engine_config(settings).models, schema.merged(files), stems_of)
    except BadPresets as error:
        exit_for_bad_settings(str(error))
