"""Random UUIDs: as the standard library makes them, and never twice, also not in two processes."""

import os
import uuid

from api.uuids import random_uuid


def test_they_are_of_version_4_and_differ_beyond_one_block():
    made = {random_uuid() for _ in range(1000)}
    assert len(made) == 1000
    assert {(one.version, one.variant) for one in made} == {(4, uuid.RFC_4122)}


def test_a_forked_process_makes_others():
    random_uuid()
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        os.write(writing, random_uuid().bytes)
        os._exit(0)
    os.waitpid(child, 0)
    os.close(writing)
    with os.fdopen(reading, "rb") as others:
        assert others.read() != random_uuid().bytes
