"""Parameters of tests that take long to make: each process that collects tests would make all of them."""

from collections.abc import Callable, Iterator, Mapping
from typing import Generic, TypeVar

T = TypeVar("T")


class Made(Mapping[str, T], Generic[T]):
    """Values by name. Each is made when it is first asked for."""

    def __init__(self, makers: Mapping[str, Callable[[], T]]):
        self._makers, self._made = dict(makers), dict[str, T]()

    def __getitem__(self, name: str) -> T:
        if name not in self._made:
            self._made[name] = self._makers[name]()
        return self._made[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._makers)

    def __len__(self) -> int:
        return len(self._makers)
