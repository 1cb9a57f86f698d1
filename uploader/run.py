"""Puts the uploader together and runs it: results come in, stored stems and callbacks go out."""

import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from common.kafka.shared_news import news_consumer
from common.kafka.topics import status_retention_s
from common.observability import log
from common.observability.disk_metrics import register_disks
from common.outbound.addresses import AddressPolicy
from common.outbound.guarded_session import OutboundNetwork
from common.settings.loading import exit_for_bad_settings, exit_if_unusable, load_or_exit
from common.settings.schema import UploaderSettings
from common.storage.bucket_stage import BucketStage
from common.storage.stage import LocalStage
from common.storage.stage_interface import Stage
from common.storage.uploads import Uploads
from common.tasks.cancel_reader import control_reader
from common.tasks.cancels import Cancels
from common.tasks.job_status import Outbox, Statuses
from common.tasks.stage_news import StageAnnouncer
from common.tasks.status_outbox import KafkaOutbox, status_producer
from common.worker.service import PlaceRules, Service
from uploader.bucket_sweep import BucketSweep, expire_by
from uploader.config import UploaderConfig
from uploader.handler import UploaderHandler
from uploader.hook_events import EventSender
from uploader.metrics import UploaderMetrics
from uploader.places import callback_limits, claim_of
from uploader.readiness import BucketWatch
from uploader.signing_key import check_signing_keys
from uploader.songs import SongKeeper
from uploader.status_news import StatusNews
from uploader.storage import Storage
from uploader.sweep import Sweeper
from uploader.webhook import check_secret


def main() -> int:
    """Runs the uploader until a signal stops it. Returns the process's exit code."""
    settings = load_or_exit(UploaderSettings)
    with exit_if_unusable("LOG_DIR", settings.log_dir):
        log.configure("uploader", settings.log_dir, settings.log_level, settings.log_format)
    storage, secrets = _storage_and_secrets(settings)
    stage = _open_stage(settings, storage)
    metrics = UploaderMetrics.create()
    directories = {"output": settings.output_dir} if stage.mode == "path" else {}
    register_disks(metrics.worker.registry, metrics.worker.service, directories)
    songs = _song_keeper(settings, storage)
    outbox = KafkaOutbox(lambda: status_producer(settings))
    cancels = Cancels.of(settings)
    control = control_reader(settings, cancels)
    control.count_skipped(metrics.worker)
    bucket = BucketWatch(storage.check_bucket, time.monotonic)
    service = Service(
        settings,
        settings.kafka_result_topic,
        settings.kafka_group_id,
        settings.kafka_max_poll_interval_ms,
        settings.slots,
        _make_handler(settings, secrets, storage, stage, outbox, metrics, cancels, songs),
        {"store": bucket.check, "stage": stage.check},
        metrics.worker,
        PlaceRules(callback_limits(settings), claim_of),
    )
    sweeper = Sweeper(
        stage, storage.bucket.multipart, settings.s3_prefix, settings.stage_retention_s, songs=songs
    )
    announcer = StageAnnouncer(
        stage, settings.worker_id, settings.kafka_control_topic, outbox, service.stopping
    )

    def until_bucket_there(stopping: threading.Event) -> None:
        bucket.wait(stopping)
        announcer.start()

    metrics.read_stage(sweeper.size_bytes)
    bucket_sweep = _make_bucket_sweep(settings, storage, outbox, metrics)
    for name, sweep in (("sweeper", sweeper.run), ("bucket-sweep", bucket_sweep.run)):
        threading.Thread(target=sweep, args=(service.stopping,), name=name, daemon=True).start()
    outbox.start()
    control.start()
    try:
        with _events_sent(settings, secrets):
            return service.run(until_bucket_there)
    finally:
        control.stop()
        outbox.stop()


@contextmanager
def _events_sent(settings: UploaderSettings, secrets: Sequence[str]) -> Iterator[None]:
    """Tells receivers of what happens on the way, within the block."""
    events = EventSender(_network(settings), secrets)
    group_id = f"{settings.kafka_group_id}_events"
    news = StatusNews(settings.kafka_status_topic, lambda: news_consumer(settings, group_id), events.put)
    events.start()
    news.start()
    try:
        yield
    finally:
        news.stop()
        events.stop()


def _song_keeper(settings: UploaderSettings, storage: Storage) -> SongKeeper:
    uploads = Uploads(storage.bucket, settings.s3_prefix)
    return SongKeeper(uploads, settings.upload_retention_s, settings.stage_retention_s, time.time)


def _storage_and_secrets(settings: UploaderSettings) -> tuple[Storage, Sequence[str]]:
    """Ends the process, with the reason, if settings of the store or of signatures are wrong."""
    try:
        storage = Storage(settings)
        secret, key = settings.webhook_secret, settings.webhook_signing_key
        secrets = check_secret(secret.get_secret_value()) if secret else ()
        keys = check_signing_keys(key.get_secret_value()) if key else ()
        return storage, (*secrets, *keys)
    except ValueError as error:
        exit_for_bad_settings(str(error))


def _open_stage(settings: UploaderSettings, storage: Storage) -> Stage:
    """Ends the process, with the reason, if OUTPUT_DIR is the stage and cannot be used."""
    if settings.stage == "s3":
        return BucketStage(storage.bucket, storage.quick, settings.s3_prefix)
    stage = LocalStage(settings.output_dir.resolve())
    with exit_if_unusable("OUTPUT_DIR", stage.root):
        stage.open()
    return stage


def _make_bucket_sweep(
    settings: UploaderSettings, storage: Storage, outbox: KafkaOutbox, metrics: UploaderMetrics
) -> BucketSweep:
    expire = expire_by(outbox, settings.kafka_result_topic)
    sweep = BucketSweep(
        storage.bucket,
        settings.s3_prefix,
        settings.result_retention_s,
        expire,
        status_retention_s=status_retention_s(settings),
    )
    metrics.read_bucket(sweep.bytes_by_kind, sweep.objects_by_kind)
    return sweep


def _network(settings: UploaderSettings) -> OutboundNetwork:
    return OutboundNetwork(AddressPolicy.from_settings(settings), ca_file=settings.outbound_ca_file)


def _make_handler(
    settings: UploaderSettings,
    secrets: Sequence[str],
    storage: Storage,
    stage: Stage,
    outbox: Outbox,
    metrics: UploaderMetrics,
    cancels: Cancels,
    songs: SongKeeper,
) -> UploaderHandler:
    return UploaderHandler(
        UploaderConfig.from_settings(settings, secrets),
        _network(settings),
        storage,
        stage,
        Statuses(settings.kafka_status_topic, outbox, time.time, settings.worker_id),
        metrics=metrics,
        cancels=cancels,
        songs=songs,
    )
