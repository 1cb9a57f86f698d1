"""A pytest plugin that ends the run in red when the tests that ran are not those that were collected.

Tests with one id are one test to xdist, and a plugin can swallow a test: both would go unseen.
"""

from collections import Counter
from collections.abc import Sequence

import pytest


class CompleteRun:
    """Counts by node id; of a run with xdist, in the process that only distributes."""

    def __init__(self) -> None:
        self._collected: Counter[str] = Counter()
        self._ran: Counter[str] = Counter()
        self._missing: Counter[str] = Counter()

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        self._collected = Counter(item.nodeid for item in session.items)

    @pytest.hookimpl(optionalhook=True)
    def pytest_xdist_node_collection_finished(self, node: object, ids: Sequence[str]) -> None:
        self._collected = Counter(ids)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.when == "setup":
            self._ran[report.nodeid] += 1

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self, session: pytest.Session, exitstatus: int) -> None:
        if exitstatus == pytest.ExitCode.OK and not session.config.option.collectonly:
            self._missing = self._collected - self._ran
            if self._missing:
                session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        if self._missing:
            count = self._missing.total()
            terminalreporter.section(f"{count} collected tests did not run", red=True, bold=True)
            for node_id, times in sorted(self._missing.items()):
                terminalreporter.line(f"{node_id} ({times} times)" if times > 1 else node_id)


def pytest_configure(config: pytest.Config) -> None:
    """A worker of xdist sees only its own share, so it counts nothing."""
    if not hasattr(config, "workerinput"):
        config.pluginmanager.register(CompleteRun())
