"""Makes the tables of `uvr usage`."""

from collections.abc import Iterable

from rich.table import Table

from uvr_client.models import UserUsage
from uvr_client.view import plain_table, printable, size


def usage_table(users: Iterable[UserUsage]) -> Table:
    """Makes a table with a row for each user."""
    table = plain_table("user", "tasks with stems", "stems", "uploads", "uploaded")
    for usage in users:
        uploads = (str(usage.uploads.count), size(usage.uploads.bytes)) if usage.uploads else ("?", "?")
        table.add_row(printable(usage.user), str(usage.results.count), size(usage.results.bytes), *uploads)
    return table


def days_table(users: Iterable[UserUsage]) -> Table:
    """Makes a table with a row for each user, day and model."""
    table = plain_table("day", "user", "model", "tasks", "audio", "engine", "stems")
    for usage in users:
        for one in usage.days or ():
            times = (_hours(one.audio_s), _hours(one.engine_s))
            who = (printable(usage.user), printable(one.model))
            table.add_row(str(one.day), *who, str(one.tasks), *times, size(one.bytes))
    return table


def _hours(seconds: float) -> str:
    """Formats seconds as hours, minutes and seconds."""
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02}:{rest:02}"
