"""Finds the longest task of a page in CPU time, which does not depend on what else the machine does."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from tests.support.browser import Tab
from tests.support.waiting import wait_for

_PATIENCE_S = 120
_MAIN_THREAD = "CrRendererMain"


@dataclass
class LongestTask:
    """Set when the trace ends. A page can neither draw nor answer its user while a task runs."""

    cpu_ms: float = 0.0


@contextmanager
def longest_task(tab: Tab) -> Iterator[LongestTask]:
    """Trace all pages of the tab's browser while the block runs."""
    found, browser = LongestTask(), tab.browser
    browser.events.clear()
    browser.call("Tracing.start", categories="toplevel", transferMode="ReportEvents")
    yield found
    browser.call("Tracing.end")

    def is_complete() -> bool:
        tab.run("0")  # events are read together with an answer
        return any(event["method"] == "Tracing.tracingComplete" for event in browser.events)

    wait_for(is_complete, _PATIENCE_S, "the trace")
    collected = [
        event["params"]["value"] for event in browser.events if event["method"] == "Tracing.dataCollected"
    ]
    records = [record for part in collected for record in part]
    main = {
        _thread(one)
        for one in records
        if one["name"] == "thread_name" and one["args"]["name"] == _MAIN_THREAD
    }
    found.cpu_ms = max(one["tdur"] for one in records if "tdur" in one and _thread(one) in main) / 1000


def _thread(record: dict[str, Any]) -> tuple[int, int]:
    return record["pid"], record["tid"]
