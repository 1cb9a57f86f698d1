"""Tells the errors of SQLite apart: those of a record, those of the file, and those that pass."""

import sqlite3

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


def is_damage(error: Exception) -> bool:
    """Return whether the file is broken for good. A full disk, for example, damages nothing."""
    # The low byte is the kind of the error; the others say more about it.
    return isinstance(error, sqlite3.Error) and getattr(error, "sqlite_errorcode", 0) & 0xFF in _DAMAGE
