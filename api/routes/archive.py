"""`GET /tasks/{task_uuid}/archive.zip`: all stems of a task in one file."""

from collections.abc import Generator
from pathlib import PurePosixPath
from urllib.parse import unquote, urlsplit

from fastapi import APIRouter
from fastapi.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from api.archive.archives import Archives, TooManyArchives
from api.archive.zip_stream import Entry, blocks_of
from api.problems import ProblemError
from api.routes.access import User, VisibleTask
from api.routes.bucket_problems import bucket_read
from api.routes.deletion import TASK_DELETED
from api.routes.parts import Parts
from api.routes.responses import SECONDS, Answers, answer, answers_about_one_task, problem_answer
from api.routes.stems import DELETED, NO_STEMS_EXAMPLE, result_of
from common.storage.bucket_keys import RunKeys
from common.storage.file_names import attachment, song_name, stem_file_name
from common.tasks.messages import PublishedStem, State, Status

router = APIRouter(prefix="/tasks", tags=["tasks"])

MEDIA_TYPE = "application/zip"
TOO_MANY_ARCHIVES = "too_many_archives"
_RETRY_AFTER_S = 10
_BUSY = "An archive of yours is still under way, or too many are; please try again once it has ended"
_GONE = "The task's stems are no longer in the store"

_ANSWERS: Answers = answers_about_one_task(
    answer(
        "A zip file with the stems as they are. It is written while it is read, so its length is not known "
        "beforehand. If the store breaks off, so does the connection",
        "PK…",
        MEDIA_TYPE,
    )
) | {
    409: problem_answer(409, "The task has no stems", NO_STEMS_EXAMPLE, state=State.SEPARATING),
    410: DELETED,
    429: problem_answer(
        429,
        "A user has one archive at a time (`error_code` `too_many_archives`); or too many wrong credentials "
        "came from this address",
        _BUSY,
        error_code=TOO_MANY_ARCHIVES,
        Retry_After=SECONDS,
    ),
}


class _ArchiveResponse(StreamingResponse):
    """Ends the stream and gives the user's place back when the answer has ended, in whichever way.

    Left alone, the stream of a client that has gone would end when the garbage collector comes.
    """

    def __init__(self, archives: Archives, user: str, blocks: Generator[bytes], headers: dict[str, str]):
        self._archives, self._user, self._stream = archives, user, archives.stream(blocks)
        super().__init__(self._stream, media_type=MEDIA_TYPE, headers=headers)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._archives.leave_place(self._user)
            await self._stream.aclose()


@router.get(
    "/{task_uuid}/archive.zip",
    summary="Download all stems",
    response_class=Response,
    responses=_ANSWERS,
)
async def archive(status: VisibleTask, user: User, parts: Parts) -> Response:
    """Send the stems of a task in one zip file."""
    result = result_of(status)
    try:
        parts.archives.take_place(user)
    except TooManyArchives:
        headers = {"Retry-After": str(_RETRY_AFTER_S)}
        raise ProblemError(429, _BUSY, error_code=TOO_MANY_ARCHIVES, headers=headers) from None
    try:
        entries = await _entries(status, result.stems, await parts.links.prefix(result), parts.archives)
        name = attachment(f"{song_name(status)}.zip")
        headers = {"Content-Disposition": name}
        return _ArchiveResponse(parts.archives, user, blocks_of(entries, result.timestamp), headers)
    except BaseException:
        parts.archives.leave_place(user)
        raise


async def _entries(
    status: Status, stems: dict[str, PublishedStem], s3_prefix: str, archives: Archives
) -> list[Entry]:
    """Return the files of the archive. Raise ProblemError: 410 where a stem is gone, 503."""
    run = RunKeys(s3_prefix, status.task_uuid, status.run)
    extensions = {name: _extension(stem.url) for name, stem in stems.items()}
    keys = {name: run.stem(name, extension) for name, extension in extensions.items()}
    with bucket_read():
        sizes = await archives.ask(lambda reader: reader.sizes([*keys.values()]))
        blocks = await archives.ask(
            lambda reader: [reader.blocks(keys[name], stem.bytes) for name, stem in stems.items()]
        )
    # Before the answer begins: from then on a client is told of an error only by the connection's end.
    if sizes != [stem.bytes for stem in stems.values()]:
        raise ProblemError(410, _GONE, error_code=TASK_DELETED, state=status.state)
    names = [stem_file_name(status, name, extensions[name]) for name in stems]
    sizes_bytes = [stem.bytes for stem in stems.values()]
    return [Entry(*entry) for entry in zip(names, sizes_bytes, blocks, strict=True)]


def _extension(url: str) -> str:
    return PurePosixPath(unquote(urlsplit(url).path)).suffix.removeprefix(".")
