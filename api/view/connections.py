"""Opens the view's file for reading: each thread has its own connection, and never waits for the writer."""

import sqlite3
import threading
from contextlib import AbstractContextManager
from pathlib import Path

from api.view.tables import Row
from api.view.time_limit import limited


class Connections:
    """Reads the file, in several threads at once. Methods raise sqlite3.Error while there is no file."""

    def __init__(self, path: Path):
        # As a URI, because that alone opens a file for reading only: its path may have `#`, `?` or `%`.
        self._uri = f"{path.absolute().as_uri()}?mode=ro"
        self._threads = threading.local()
        self._generation = 0

    def reopen(self) -> None:
        """Let every thread open the file again, because it is a new one."""
        self._generation += 1

    @property
    def generation(self) -> int:
        """The number of the file that this thread has open, counted from the first."""
        opened: int = self._threads.generation
        return opened

    def limited(self, cpu_s: float) -> AbstractContextManager[None]:
        """Stop what this thread reads meanwhile: see `time_limit`."""
        return limited(self._opened(), cpu_s)

    def rows(self, sql: str, values: Row) -> list[Row]:
        rows: list[Row] = self._opened().execute(sql, values).fetchall()
        return rows

    def _opened(self) -> sqlite3.Connection:
        mine = self._threads
        if getattr(mine, "generation", None) != self._generation:
            # The number first: a file that is replaced meanwhile must be opened once more.
            generation = self._generation
            connection = sqlite3.connect(self._uri, uri=True)
            mine.generation, mine.connection = generation, connection
        opened: sqlite3.Connection = mine.connection
        return opened
