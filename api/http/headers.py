"""Reads a request's headers once, for all that ask for one of them."""

from typing import cast

from starlette.datastructures import Headers
from starlette.types import Scope

_NAME = "uvr.headers"


class IndexedHeaders(Headers):
    """Finds headers by their names without a search. A request is asked for about a dozen of them."""

    def __init__(self, scope: Scope):
        super().__init__(scope=scope)
        self._index: dict[str, list[str]] = {}
        for name, value in self._list:
            self._index.setdefault(name.decode("latin-1"), []).append(value.decode("latin-1"))

    def getlist(self, key: str) -> list[str]:
        return list(self._index.get(key.lower(), ()))

    # As in the base class, the first of several counts.
    def __getitem__(self, key: str) -> str:
        return self._index[key.lower()][0]

    def get(self, key: str, default: str | None = None) -> str | None:  # type: ignore[override]  # of str alone
        found = self._index.get(key.lower())
        return default if found is None else found[0]

    def __contains__(self, key: object) -> bool:
        return isinstance(key, str) and key.lower() in self._index


def headers_of(scope: Scope) -> IndexedHeaders:
    """Return the request's headers. Copies of a scope share them."""
    if _NAME not in scope:
        scope[_NAME] = IndexedHeaders(scope)
    return cast(IndexedHeaders, scope[_NAME])
