"""The view's file, opened for reading by each thread."""

import sqlite3
from uuid import UUID

import pytest

from api.view.reader import Reader


def test_each_question_about_a_file_that_is_not_there_says_so(tmp_path):
    reader = Reader(tmp_path / "view.sqlite3")
    for _ in range(2):
        with pytest.raises(sqlite3.OperationalError, match="unable to open"):
            reader.find(UUID(int=1))
