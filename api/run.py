"""Puts the api together, and answers on API_HOST:API_PORT until SIGTERM or SIGINT."""

import gc
import logging
import signal
import sys
from collections.abc import Callable
from functools import partial
from types import FrameType
from typing import Any

import uvicorn
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

from api.app import create_app
from api.http.connections import Connections
from api.http.listener import listen, most_connections, warn_of_default_credentials
from api.http.protocol import GuardedProtocol
from api.http.turns import Turns
from api.metrics import ApiMetrics
from api.publishing.kafka_session import KafkaSession
from api.publishing.publisher import KafkaPublisher
from api.view.view import KafkaView
from common.observability import log
from common.observability.disk_metrics import register_disks
from common.settings.loading import exit_for_bad_settings, exit_if_unusable, load_or_exit
from common.settings.schema import ApiSettings

# At a stop: the time to write the last answers, after Kafka has confirmed the last tasks or has failed to.
_LAST_ANSWERS_S = 5


def main() -> None:
    # uvicorn raises the signal that stopped it again, after it has stopped in order.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: sys.exit(0))
    settings = load_or_exit(ApiSettings)
    with exit_if_unusable("LOG_DIR", settings.log_dir):
        log.configure("api", settings.log_dir, settings.log_level, settings.log_format)
    metrics = ApiMetrics.create()
    try:
        view = KafkaView.from_settings(settings, metrics.record_skipped)
    except OSError as error:
        exit_for_bad_settings(f"VIEW_FILE {settings.view_file}: {error.strerror}")
    try:
        app = create_app(settings, _make_publisher(settings), view, metrics=metrics)
    except ValueError as error:
        exit_for_bad_settings(str(error))
    try:
        listener = listen(settings)
    except OSError as error:
        sys.exit(f"cannot start: API_HOST {settings.api_host} API_PORT {settings.api_port}: {error.strerror}")
    host, port = listener.getsockname()[:2]
    warn_of_default_credentials(settings, host)
    logging.getLogger("api").info("listening on %s port %d", host, port)
    connections = Connections(
        most_connections(settings),
        settings.max_connections_per_address,
        _is_proxy(settings),
        metrics.connection_ended,
    )
    listener.prepare(connections)
    register_disks(metrics.registry, "api", {"view": settings.view_file.parent})
    metrics.count_connections(lambda: connections.open)
    config = uvicorn.Config(
        app,
        http=partial(GuardedProtocol, connections=connections, turns=Turns()),  # type: ignore[arg-type]  # a class only, by its type
        loop="asyncio",  # other loops would not call our listener's `accept`
        ws="none",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,  # see `api.http.cross_origin`
        timeout_graceful_shutdown=int(settings.kafka_ack_timeout_s) + _LAST_ANSWERS_S,
    )
    # Nothing of this becomes garbage: without `freeze` each round of the collector would scan all of it.
    gc.collect()
    gc.freeze()
    _Server(config, view).run(sockets=[listener])


def _make_publisher(settings: ApiSettings) -> KafkaPublisher:
    # Shorter than the time that a client waits: a task that was answered with 503 must not be queued later.
    delivery_timeout_s = settings.kafka_ack_timeout_s * 0.9
    return KafkaPublisher(lambda: KafkaSession(settings, delivery_timeout_s), settings.kafka_ack_timeout_s)


def _is_proxy(settings: ApiSettings) -> Callable[[str], bool]:
    """Return whether an address belongs to FORWARDED_ALLOW_IPS, as uvicorn reads this setting."""
    app_is_unused: Any = None
    return ProxyHeadersMiddleware(app_is_unused, settings.forwarded_allow_ips).trusted_hosts.__contains__


class _Server(uvicorn.Server):
    """Ends the streams of task events at a stop, instead of waiting for their end: clients reconnect."""

    def __init__(self, config: uvicorn.Config, view: KafkaView):
        super().__init__(config)
        self._view = view

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        self._view.end_watching()
        super().handle_exit(sig, frame)
