"""The workers of the bench's lanes end however their set-up goes."""

from pathlib import Path
from types import SimpleNamespace

import pytest

from bench import lanes


class Fakes:
    """Stands in for the workers' processes."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, directory: Path):
        self.running: set[str] = set()
        self.bench = SimpleNamespace(scratch=lambda name: directory)
        settings = SimpleNamespace(kafka_task_topic="tasks")
        monkeypatch.setattr(lanes, "Lab", lambda *given: SimpleNamespace(settings=settings, feed=list))
        monkeypatch.setattr(lanes, "Stack", self._stack)
        monkeypatch.setattr(lanes, "Sleepers", lambda stack, lab, **named: self)

    def start(self, name: str, wait: bool) -> SimpleNamespace:
        self.running.add(name)
        return SimpleNamespace(wait_ready=lambda: None)

    def starts(self) -> list[dict[str, str]]:
        return [{"worker": name} for name in self.running]

    def _stack(self, directory: Path) -> SimpleNamespace:
        return SimpleNamespace(directory=directory, kill_all=self.running.clear)


@pytest.fixture
def fakes(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Fakes:
    return Fakes(monkeypatch, tmp_path)


@pytest.mark.parametrize("error", [AssertionError, KeyboardInterrupt])
def test_workers_end_when_their_set_up_fails(fakes, monkeypatch, error):
    def never(*given: object) -> None:
        assert fakes.running == {"w0", "w1"}
        raise error

    monkeypatch.setattr(lanes, "wait_for", never)
    with pytest.raises(error), lanes.held_up(fakes.bench, "broker", 2):
        pytest.fail("the set-up has failed")
    assert not fakes.running


def test_workers_end_with_the_measurement(fakes):
    with lanes.held_up(fakes.bench, "broker", 2) as held:
        assert fakes.running == set(held.names)
    assert not fakes.running
