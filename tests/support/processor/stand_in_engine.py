"""What stand-in engines share: they are always ready, and wait under their job's checks."""

import time

from common.observability.health import Check
from common.waiting import StopCheck
from processor.engine.protocol import EngineConfig


class StandInEngine:
    def __init__(self, config: EngineConfig):
        pass

    busy_s = 0.0

    def start(self) -> None:
        pass

    def stop(self) -> None:
        pass

    def state(self) -> Check:
        return Check(True, "stand-in")

    def wait_ready(self, timeout_s: float) -> Check:
        return self.state()

    @staticmethod
    def work(seconds: float, check: StopCheck) -> None:
        """Takes so long; `check` may raise to stop."""
        end_s = time.monotonic() + seconds
        while time.monotonic() < end_s:
            check()
            time.sleep(0.05)
