"""A bucket in memory, with the methods of Bucket that whoever deletes and sweeps calls."""

from collections.abc import Iterable, Iterator, Mapping

from common.storage.bucket import ObjectSeen


class MemoryBucket:
    """`bodies` are the objects by key. `fail` is called with each method's name and key, and may raise.

    `modified_s` has the time of an object's last change, in seconds since the epoch; 0 where nothing is set.
    """

    name = "bucket"

    def __init__(self) -> None:
        self.bodies: dict[str, bytes] = {}
        self.headers: dict[str, Mapping[str, object]] = {}
        self.modified_s: dict[str, float] = {}
        self.fail = lambda what, key: None

    def get(self, key: str) -> bytes | None:
        self.fail("get", key)
        return self.bodies.get(key)

    def put(self, key: str, body: bytes, headers: Mapping[str, object] | None = None) -> None:
        self.fail("put", key)
        self.bodies[key], self.headers[key] = body, headers or {}

    def seen(self, key: str) -> ObjectSeen | None:
        self.fail("seen", key)
        return self._seen(key) if key in self.bodies else None

    def metadata(self, key: str) -> Mapping[str, str]:
        self.fail("metadata", key)
        return self.headers.get(key, {}).get("Metadata", {})

    def objects(self, prefix: str) -> Iterator[ObjectSeen]:
        self.fail("objects", prefix)
        for key in sorted(self.bodies):
            if key.startswith(prefix) and key in self.bodies:
                yield self._seen(key)

    def remove(self, keys: Iterable[str]) -> None:
        for key in keys:
            self.fail("remove", key)
            self.bodies.pop(key, None)

    def _seen(self, key: str) -> ObjectSeen:
        return ObjectSeen(key, len(self.bodies[key]), "etag", self.modified_s.get(key, 0.0))
