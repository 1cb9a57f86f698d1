"""Checks a staged file while it is uploaded: its bytes must be those that the processor announced."""

import hashlib
import logging
import os
from pathlib import PurePosixPath
from typing import BinaryIO

from common.errors import ErrorCode, PermanentError

log = logging.getLogger(__name__)


class VerifiedFile:
    """Reads an opened file once, from its start, and checks its size and sha256."""

    def __init__(self, file: BinaryIO, size_bytes: int, sha256: str):
        """`size_bytes` and `sha256` (hexadecimal) were announced.

        Raises PermanentError (stage_mismatch) for a file of another size.
        """
        self._file, self._sha256 = file, sha256
        self.size_bytes = size_bytes
        self._digest = hashlib.sha256()
        self._read_bytes = 0
        self._check_size(os.fstat(file.fileno()).st_size)

    def read(self, size_bytes: int) -> bytes:
        """Returns the next bytes, b"" at the end.

        Raises PermanentError (stage_mismatch) if the file is longer than announced.
        """
        body = self._file.read(size_bytes)
        self._read_bytes += len(body)
        if self._read_bytes > self.size_bytes:
            self._check_size(self._read_bytes)
        self._digest.update(body)
        return body

    def verify(self) -> None:
        """Raises PermanentError (stage_mismatch) unless the announced bytes were read, all of them."""
        self._check_size(self._read_bytes)
        if self._digest.hexdigest() != self._sha256:
            raise mismatch("A staged file is not the one that was announced: its sha256 differs")

    def _check_size(self, size_bytes: int) -> None:
        if size_bytes != self.size_bytes:
            sizes = f"{self.size_bytes} bytes were announced, {size_bytes} found"
            raise mismatch(f"A staged file is not the one that was announced: {sizes}")


def mismatch(message: str) -> PermanentError:
    """Returns the error for a result whose stems are not the staged files that it names."""
    return PermanentError(ErrorCode.STAGE_MISMATCH, message)


def missing(key: str) -> PermanentError:
    """Returns the error for a staged file that is gone."""
    return PermanentError(ErrorCode.STAGE_MISSING, f"The staged file {PurePosixPath(key).name} is gone")


def foreign(key: str, error: OSError) -> PermanentError:
    """Returns the error for a link, a socket or a device in the place of a staged file."""
    log.error("%s in the stage: %s", key, error)
    return mismatch(f"The staged file {PurePosixPath(key).name} is a link, or no file")
