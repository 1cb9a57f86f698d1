"""Runs a consumer's process around its worker: signals, topics, health, and the way out."""

import contextlib
import logging
import signal
import threading
from collections.abc import Callable
from functools import partial
from typing import Any

from kafka.errors import KafkaError

from common.jobs.handler import Handler
from common.jobs.lanes import ONE_LANE, LaneRules
from common.jobs.retry import RetryPolicy
from common.jobs.settlement import JobRules
from common.kafka import clients, hanging_transactions, retry_topics, topics
from common.kafka.consumer import Consumer
from common.kafka.fencing import Fenced
from common.kafka.lanes import PRIORITIES
from common.kafka.transaction import TransactionalProducer
from common.observability.health import Check, Checks, Exposition, HealthServer, is_ready
from common.observability.prometheus import Numbers, exposition, register_readiness
from common.observability.refreshed import Refreshed
from common.observability.repeats import Repeats
from common.settings.exit_codes import EXIT_FENCED
from common.settings.loading import exit_for_bad_settings
from common.settings.schema import ProcessorSettings, UploaderSettings
from common.waiting import Backoff
from common.worker.metrics import WorkerMetrics
from common.worker.waiting_room import NO_PLACES, PlaceRules
from common.worker.worker import Worker, WorkerConfig

__all__ = ["LaneRules", "PlaceRules", "Service"]

log = logging.getLogger(__name__)

EXIT_OK = 0
EXIT_FAILED = 1
_TOPICS_AGAIN_S = 2.0


class Service:
    """One consumer's process. SIGTERM and SIGINT set `stopping`. The main thread owns it."""

    def __init__(
        self,
        settings: ProcessorSettings | UploaderSettings,
        topic: str,
        group_id: str,
        max_poll_interval_ms: int,
        slots: int,
        handler: Handler[Any],
        checks: Checks,
        metrics: WorkerMetrics,
        places: PlaceRules = NO_PLACES,
        may_begin: Callable[[], bool] = lambda: True,
        lanes: LaneRules = ONE_LANE,
    ):
        """While `may_begin` says no, no job begins, and other workers get this one's partitions."""
        self.stopping = threading.Event()
        self._settings = settings
        self._topic, self._lane_topics = topic, lanes.topics
        self._group_id = group_id
        self._scope = hanging_transactions.Scope(topics.names(settings), group_id)
        self._worker = Worker(
            WorkerConfig(
                group_id=group_id,
                slots=slots,
                max_poll_interval_ms=max_poll_interval_ms,
                shutdown_grace_s=settings.shutdown_grace_s,
                rules=JobRules(
                    settings.kafka_dead_letter_topic,
                    settings.max_attempts,
                    RetryPolicy(topic, settings.retry_delays_s),
                ),
                drain_on_rebalance_s=settings.drain_on_rebalance_s,
                keeps_membership=settings.keep_membership,
            ),
            handler,
            lambda: Consumer.connect(settings, group_id, max_poll_interval_ms),
            self._make_producer,
            metrics=metrics,
            places=places,
            may_begin=may_begin,
            lanes=lanes,
        )
        all_checks = {"kafka": self._worker.check, **checks}
        # Checks ask stores and disks.
        self._readiness = Refreshed(partial(is_ready, all_checks))
        self._register_gauges(metrics)
        self._health = _health_server(settings, all_checks, partial(exposition, metrics.registry))

    def _register_gauges(self, metrics: WorkerMetrics) -> None:
        def lag() -> Numbers:
            return {(topic,): float(count) for topic, count in self._worker.lag().items()}

        def running() -> Numbers:
            return {(): float(self._worker.running_count)}

        def held() -> Numbers:
            return {(): float(self._worker.waiting_count)}

        def ready() -> Numbers:
            counts = self._worker.ready_counts
            return {(str(priority),): float(counts[priority]) for priority in PRIORITIES}

        register_readiness(metrics.registry, metrics.service, lambda: self._readiness.last() is True)
        metrics.register_gauge("uvr_jobs_running", "Jobs under way.", (), running)
        metrics.register_gauge(
            "uvr_jobs_held", "Jobs that wait for a place of their user or receiver.", (), held
        )
        metrics.register_gauge(
            "uvr_jobs_ready", "Records that are read and wait for a slot, by lane.", ("priority",), ready
        )
        metrics.register_gauge(
            "uvr_consumer_lag_records",
            "Records of this worker's partitions that it has not begun, as of its last fetch.",
            ("topic",),
            lag,
        )

    @property
    def running_count(self) -> int:
        """The number of records that jobs work on."""
        return self._worker.running_count

    @property
    def health_port(self) -> int:
        """Where probes and `/metrics` are answered."""
        return self._health.port

    def serve_probes(self) -> None:
        """Begin to answer probes and `/metrics`. Part of `run`."""
        self._readiness.start("readiness")
        self._health.start()

    def run(self, prepare: Callable[[threading.Event], None]) -> int:
        """Serve until a signal, once `prepare(stopping)` has returned. Returns the exit code."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._on_signal)
        self.serve_probes()
        try:
            prepare(self.stopping)
            if existing := self._ensure_topics():
                self._watch_for_hanging_transactions()
                self._worker.run([*retry_topics.family(self._topic, existing), *self._lane_topics])
        except Fenced:
            log.critical(
                "another worker of %s has WORKER_ID=%s: give each worker its own",
                self._group_id,
                self._settings.worker_id,
            )
            return EXIT_FENCED
        except Exception:  # the process's edge: the log must have it before the process ends
            log.exception("the worker has ended with an error")
            return EXIT_FAILED
        self._leave()
        log.info("stopped")
        return EXIT_OK

    def _on_signal(self, number: int, frame: object) -> None:
        self.stopping.set()
        self._worker.stop()

    def _make_producer(self) -> TransactionalProducer:
        # Called at start and after each failed transaction, which may have failed because a topic is gone.
        self._create_missing_topics()
        name = f"{self._group_id}-{self._settings.worker_id}"
        producer = TransactionalProducer.connect(self._settings, name)
        try:
            hanging_transactions.end_own(self._settings, self._scope, name)
        except BaseException:
            producer.discard()
            raise
        return producer

    def _create_missing_topics(self) -> set[str]:
        with contextlib.closing(clients.admin(self._settings)) as admin:
            return topics.ensure(admin, self._settings)

    def _ensure_topics(self) -> set[str]:
        """Return the existing topics; none if the service was stopped before Kafka could be reached."""
        repeats = Repeats()

        def failed(error: Exception) -> None:
            if repeats.is_news(error):
                log.warning("Kafka cannot be reached, or the topics not created: %r", error)

        backoff = Backoff(_TOPICS_AGAIN_S, _TOPICS_AGAIN_S)
        return backoff.first_success(self._create_missing_topics, self.stopping, failed, KafkaError) or set()

    def _watch_for_hanging_transactions(self) -> None:
        arguments = (self._settings, self._scope, self.stopping)
        threading.Thread(
            target=hanging_transactions.watch, args=arguments, name="hanging", daemon=True
        ).start()

    def _leave(self) -> None:
        if self._settings.keep_membership or not self._worker.can_leave:
            return
        try:
            clients.leave_group(self._settings, self._group_id)
        except KafkaError as error:
            log.warning("could not leave the group, the session time-out will end the membership: %r", error)


def _health_server(
    settings: ProcessorSettings | UploaderSettings, checks: Checks, exposition: Exposition
) -> HealthServer:
    host, port = settings.health_host, settings.health_port
    try:
        return HealthServer(host, port, lambda: Check(True), checks, exposition)
    except OSError as error:
        exit_for_bad_settings(f"HEALTH_PORT={port} on {host} cannot be used: {error}")
