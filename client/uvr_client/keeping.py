"""Has the calls about what the api keeps of ended tasks: delete it, pack it into one file, or measure it."""

import os
import zipfile
import zlib
from collections.abc import Sequence
from datetime import date
from pathlib import Path
from uuid import UUID, uuid4

import httpx

from uvr_client import answers, texts
from uvr_client.errors import DownloadFailed, Unavailable, Unreachable, UvrError
from uvr_client.models import Usage, UserUsage
from uvr_client.task_path import task_path
from uvr_client.transport import Repeat, Transport

_CHUNK_BYTES = 1 << 20
# The api sends as fast as the store gives: a connection that is silent for a minute is broken.
_SILENCE_S = 60.0


class KeepingCalls:
    """The part of UvrClient that deals with what is kept."""

    _transport: Transport

    def delete(self, task_uuid: UUID | str) -> None:
        """Has a task's stems removed, and everything but the fact that the task was.

        Returns once the deletion is queued; it is done within moments. A repeated deletion is no error.
        Raises NotFound; Conflict, with the task's `state`, while it runs or its callback is still to come.
        """
        self._transport.request("DELETE", task_path(task_uuid), Repeat.ANY)

    def archive(self, task_uuid: UUID | str, path: Path | str) -> Path:
        """Writes a zip file with all stems of the task to `path`, and returns the path.

        Only a complete file gets its name. Raises NotFound, also for deleted results; Conflict, with the
        task's `state`, if there are no stems; TooManyRequests while another archive of yours is under way;
        DownloadFailed for an archive that cannot be written or is damaged.
        """
        target = Path(path)
        try:
            if not target.name or target.is_dir():
                raise DownloadFailed(f"{target}: this is a directory: name a file")
            part = target.with_name(f"{target.name}.{uuid4().hex[:8]}.part")
            try:
                self._fetch_archive(task_path(task_uuid, "/archive.zip"), part)
                os.replace(part, target)
            finally:
                part.unlink(missing_ok=True)
        except OSError as error:
            raise DownloadFailed(f"{target}: {error.strerror or error}") from error
        return target

    def usage(
        self,
        user: str | None = None,
        *,
        all_users: bool = False,
        first_day: date | str | None = None,
        last_day: date | str | None = None,
    ) -> Sequence[UserUsage]:
        """Returns what was separated for you by day and model, and the space that your files take.

        The days, in UTC, are the last 30 unless they are given. Administrators may name another user, or ask
        for `all_users`; others get Unauthorized.
        """
        given = {
            "user": user,
            "all": "true" if all_users else None,
            "from": first_day and str(first_day),
            "to": last_day and str(last_day),
        }
        asked = {name: value or None for name, value in given.items()}
        response = self._transport.request("GET", texts.address("/usage", asked), Repeat.ANY)
        return answers.read(Usage, response.content).users

    def _fetch_archive(self, path: str, part: Path) -> None:
        """Fetches the archive, anew after each connection that breaks off. Raises UvrError and OSError."""
        patience = self._transport.patience
        pauses_s = patience.pauses_s()
        for tries_left in reversed(range(patience.tries)):
            try:
                self._fetch_archive_once(path, part)
                return
            except (Unreachable, Unavailable) as error:
                if not tries_left:
                    raise
                patience.pause(error, next(pauses_s))

    def _fetch_archive_once(self, path: str, part: Path) -> None:
        try:
            with self._transport.stream(path, {}, _SILENCE_S) as response, part.open("wb") as file:
                answers.raise_for_status(response)
                file.writelines(response.iter_bytes(_CHUNK_BYTES))
                file.flush()
                os.fsync(file.fileno())
        except httpx.RequestError as error:
            raise self._transport.unreachable(error) from error
        if failure := _damage(part):
            raise failure


def _damage(path: Path) -> UvrError | None:
    """Returns the error for a file that is no whole archive, None for a good one."""
    try:
        with zipfile.ZipFile(path) as archive:
            damaged = archive.testzip()
    # The others: of bytes that cannot be unpacked, and of ways to pack that the api does not use.
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
        return DownloadFailed(f"the api's answer is not a whole archive: {error}")
    return DownloadFailed(f"{damaged} is damaged in the archive") if damaged else None
