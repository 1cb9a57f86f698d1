"""Downloads from a scripted server, and collects the log."""

import logging
from pathlib import Path

import pytest

from common.errors import JobError
from common.outbound.addresses import AddressPolicy, parse_origin
from common.outbound.guarded_session import OutboundNetwork
from processor.audio.download import DownloadedFile, download
from processor.audio.transfer import DownloadLimits
from tests.support.http_server import ScriptedServer

MB = 1024 * 1024
LIMITS = DownloadLimits(max_bytes=8 * MB, deadline_s=60, timeout_s=30)


def go_on() -> None:
    """No job is cancelled here."""


class Downloads:
    """Calls download a path of the server into `directory`."""

    def __init__(self, server: ScriptedServer, directory: Path, caplog: pytest.LogCaptureFixture):
        self.directory = directory
        self._server, self._caplog = server, caplog
        self._network = OutboundNetwork(
            AddressPolicy(frozenset({80}), frozenset({parse_origin(server.origin)}))
        )
        caplog.set_level(logging.INFO)

    def __call__(self, path: str, limits: DownloadLimits = LIMITS, check=go_on, **kwargs) -> DownloadedFile:
        return download(self._server.url + path, self.directory, limits, self._network, check, **kwargs)

    def failing(self, path: str, limits: DownloadLimits = LIMITS, **kwargs) -> JobError:
        """The error, once it is sure that nothing was left and that the log tells it."""
        with pytest.raises(JobError) as caught:
            self(path, limits, **kwargs)
        assert list(self.directory.iterdir()) == []
        assert str(caught.value) in self.lines()
        return caught.value

    def lines(self) -> list[str]:
        return [record.getMessage() for record in self._caplog.records]
