"""Puts the processor together and runs it."""

import threading
from collections.abc import Callable

from common.observability import log
from common.observability.disk_metrics import register_disks
from common.settings.loading import exit_if_unusable, load_or_exit
from common.settings.schema import ProcessorSettings
from common.tasks.cancel_reader import control_reader
from common.tasks.cancels import Cancels
from common.tasks.stage_news import StageWatch
from common.tasks.status_outbox import KafkaOutbox, status_producer
from common.worker.service import EXIT_OK, PlaceRules, Service
from processor.assembly import (
    engine_config,
    make_announcer,
    make_handler,
    make_recipes,
    make_result_cache,
    open_stage,
    own_directories,
)
from processor.engine.protocol import EngineConfig
from processor.engine.room import EngineRoom
from processor.fork_server import ForkServer
from processor.metrics import ProcessorMetrics
from processor.places import claim_of, download_limits, lane_rules

# The last announcement says that the processor has stopped; apis need not wait for it.
_FLUSH_S = 2.0


def main(make_engine: Callable[[EngineConfig], EngineRoom] = EngineRoom) -> int:
    """Run the processor until it is stopped; return its exit code. `make_engine` takes stand-in engines."""
    settings = _load_settings_and_begin_log()
    stage = open_stage(settings)
    engine = make_engine(engine_config(settings))
    recipes = make_recipes(settings, engine.stems_of)
    cache = make_result_cache(settings, lambda: engine.installed)
    metrics = _make_metrics(settings, engine)
    outbox = KafkaOutbox(lambda: status_producer(settings))
    forks, cancels, stages = ForkServer(), Cancels.of(settings), StageWatch(stage)
    control = control_reader(settings, cancels, stages)
    control.count_skipped(metrics.worker)
    service = Service(
        settings,
        settings.kafka_task_topic,
        settings.kafka_group_id,
        settings.kafka_max_poll_interval_ms,
        settings.slots,
        make_handler(settings, engine, stage, outbox, metrics, cancels, stages, recipes, cache, forks.spawn),
        {"engine": engine.state, "stage": stages.check},
        metrics.worker,
        PlaceRules(download_limits(settings), claim_of),
        may_begin=lambda: stages.ok and not engine.is_outdated,
        lanes=lane_rules(settings),
    )
    announcer = make_announcer(settings, engine, recipes, outbox, lambda: service.running_count)

    def until_ready(stopping: threading.Event) -> None:
        # Join the group only with a ready engine: other processors can do the tasks meanwhile.
        while not stopping.is_set() and not engine.wait_ready(0.5).ok:
            pass
        forks.start()  # not earlier: it would take a core from the engine's start
        announcer.start()
        stages.wait(stopping)

    engine.start()
    outbox.start()
    control.start()
    stages.start(service.stopping)
    code = None
    try:
        code = service.run(until_ready)
        return code
    finally:
        announcer.stop(in_good_order=code == EXIT_OK)
        outbox.flush(_FLUSH_S)
        control.stop()
        outbox.stop()
        engine.stop()
        forks.stop()


def _make_metrics(settings: ProcessorSettings, engine: EngineRoom) -> ProcessorMetrics:
    metrics = ProcessorMetrics.create()
    metrics.read_engine(lambda: engine.busy_s)
    register_disks(metrics.worker.registry, metrics.worker.service, own_directories(settings))
    return metrics


def _load_settings_and_begin_log() -> ProcessorSettings:
    settings = load_or_exit(ProcessorSettings)
    with exit_if_unusable("LOG_DIR", settings.log_dir):
        log.configure("processor", settings.log_dir, settings.log_level, settings.log_format)
    return settings
