"""Tells the errors of SQLite apart: those of a record, those of the file, and those that pass."""

import sqlite3
import zlib
from collections.abc import Callable
from typing import TypeVar

from pydantic import ConfigDict

S = TypeVar("S")
T = TypeVar("T")

# Errors that a record's values can cause. Other errors of SQLite concern the file.
NOT_TAKEN = (
    ValueError,
    TypeError,
    ArithmeticError,
    LookupError,
    sqlite3.DataError,
    sqlite3.IntegrityError,
    sqlite3.InterfaceError,
    sqlite3.ProgrammingError,
)
_DAMAGE = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
_NOT_DECODED = (ValueError, TypeError, AttributeError, zlib.error)
# For a TypeAdapter of what SQLite returns: a column of any type can hold values of any other.
AS_STORED = ConfigDict(strict=True, allow_inf_nan=False)
# How the error of a text that is not UTF-8 begins. The error has no code.
_NO_TEXT = "Could not decode to UTF-8"


class DamagedRow(sqlite3.DatabaseError):
    """SQLite has read a row, and what the row holds is not what the view stores."""


def decoded(decode: Callable[[S], T], stored: S) -> T:
    """Return what `decode` makes of a stored value. Raise DamagedRow if it cannot."""
    try:
        return decode(stored)
    except _NOT_DECODED as error:
        # Without the error's text, which can hold the row: users see this message.
        raise DamagedRow("a row cannot be decoded") from error


def is_damage(error: Exception) -> bool:
    """Return whether the file is broken for good. A full disk, for example, damages nothing."""
    if isinstance(error, DamagedRow):
        return True
    if not isinstance(error, sqlite3.Error):
        return False
    return _primary_code(error) in _DAMAGE or str(error).startswith(_NO_TEXT)


def is_of_other_tables(error: sqlite3.Error) -> bool:
    """Return whether a statement does not fit the file's tables: it has others, or lacks some."""
    return _primary_code(error) == sqlite3.SQLITE_ERROR


def _primary_code(error: sqlite3.Error) -> int:
    # The low byte is the kind of the error; the others say more about it.
    code: int = getattr(error, "sqlite_errorcode", 0)
    return code & 0xFF
