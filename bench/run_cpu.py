"""Sums up the CPU time of a network's runs."""

import threading
import time


class RunCpu:
    """The CPU time of the process while a run is open, without its Python threads that are in no run.

    A runtime computes in threads of its own, which Python does not know: their time is the run's. Another
    Python thread computes the next chunk's spectra meanwhile, which is no part of the run. A Python thread
    that ends during a run is counted with it, since its clock has gone. Thread-safe.
    """

    def __init__(self) -> None:
        self.cpu_s = 0.0
        # Guards all that follows.
        self._lock = threading.Lock()
        self._running: set[int] = set()
        self._process_s, self._threads_s = 0.0, dict[int, float]()

    def begin(self) -> None:
        """Begin a run in this thread."""
        with self._lock:
            self._settle()
            self._running.add(threading.get_native_id())

    def end(self) -> None:
        """End this thread's run."""
        with self._lock:
            self._settle()
            self._running.discard(threading.get_native_id())

    def _settle(self) -> None:
        """Count the time since a run last began or ended."""
        process_s, threads_s = time.process_time(), _python_threads_s()
        if self._running:
            beside_s = sum(
                max(0.0, now_s - self._threads_s.get(thread, 0.0))
                for thread, now_s in threads_s.items()
                if thread not in self._running
            )
            self.cpu_s += process_s - self._process_s - beside_s
        self._process_s, self._threads_s = process_s, threads_s


def _python_threads_s() -> dict[int, float]:
    """Return the CPU time of each Python thread so far, by its native id."""
    found = {}
    for thread in threading.enumerate():
        if thread.native_id is not None:
            try:
                found[thread.native_id] = time.clock_gettime(_clock_of(thread.native_id))
            except OSError:  # it has just ended
                continue
    return found


def _clock_of(native_id: int) -> int:
    """Return the id of a thread's CPU clock, as Linux makes it of the thread's id.

    time.pthread_getcpuclockid() must not be called for a thread that may end meanwhile.
    """
    return (~native_id << 3) | 6
