"""What several of the unit tests' modules share."""

import pytest

from tests.support.committer_bench import Bench


@pytest.fixture
def bench():
    made: list[Bench] = []

    def make(*args, **kwargs) -> Bench:
        made.append(Bench(*args, **kwargs))
        made[-1].committer.start()
        return made[-1]

    yield make
    for one in made:
        one.committer.stop(1)
