"""The command `uvr`."""

import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Annotated, Any
from uuid import UUID

import typer
from pydantic import BaseModel

from uvr_client import exits, view
from uvr_client.client import UvrClient
from uvr_client.errors import UvrError
from uvr_client.exits import Exit
from uvr_client.models import State
from uvr_client.output import Output
from uvr_client.session import Connection, each, end
from uvr_client.settings import DEFAULT_URL, Given
from uvr_client.times import FORMS, parse_since
from uvr_client.transport import Patience
from uvr_client.version import __version__
from uvr_client.watching import Watch

_MAX_CANCEL_AFTER_S = 30 * 86400.0
_EPILOG = (
    "Exit codes: 0 done, 2 wrong usage, 3 a task was cancelled, 4 a task has failed, 5 no such task, "
    "6 it conflicts with the task's state, 64 settings, 65 refused for what it says, 69 the api does not "
    "answer, 70 the api has failed, 74 a download has failed, 75 refused for now, 77 credentials, "
    "130 interrupted. Of several the highest."
)

# Tracebacks with the values of variables would show passwords.
app = typer.Typer(
    help="Separates songs into stems, and tells where each is.",
    epilog=_EPILOG,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

Id = Annotated[UUID, typer.Argument(metavar="ID", help="a task's id, as submit prints it")]
Ids = Annotated[list[UUID], typer.Argument(metavar="ID", help="tasks' ids, as submit prints them")]
Json = Annotated[bool, typer.Option("--json", help="results as JSON, an object a line")]
Download = Annotated[
    Path | None,
    typer.Option("--download", metavar="DIR", help="put stems into DIR/ID/, and check their sha256"),
]
Key = Annotated[
    str | None, typer.Option(metavar="KEY", help="the Idempotency-Key: a repeat with it is the same task")
]


def _version(asked: bool) -> None:
    if asked:
        typer.echo(f"uvr {__version__}")
        raise typer.Exit


def _seconds(seconds: float | None) -> float | None:
    if seconds is not None and not 0 < seconds <= _MAX_CANCEL_AFTER_S:
        raise typer.BadParameter("expected a number of seconds above 0, at most 30 days")
    return seconds


def _since(text: str) -> float:
    try:
        return parse_since(text, time.time())
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None


@app.callback()
def connection(
    context: typer.Context,
    url: Annotated[str | None, typer.Option(help=f"the api's address [UVR_URL; {DEFAULT_URL}]")] = None,
    username: Annotated[str | None, typer.Option(help="who asks [UVR_USERNAME]")] = None,
    password: Annotated[
        str | None, typer.Option(help="[UVR_PASSWORD] others on this machine can see what is typed here")
    ] = None,
    config: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="TOML with url, username, password [~/.config/uvr/config.toml]"),
    ] = None,
    version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True)] = False,
) -> None:
    """Separates songs into stems, and tells where each is."""
    context.obj = Connection(Given(url, username, password), config, context.obj or Patience())


@app.command()
def submit(
    context: typer.Context,
    urls: Annotated[list[str], typer.Argument(metavar="URL", help="addresses of songs")],
    hook: Annotated[str | None, typer.Option(metavar="URL", help="where the callback is POSTed to")] = None,
    wait: Annotated[
        bool, typer.Option("--wait", help="until their stems are there, or they have failed")
    ] = False,
    download: Download = None,
    idempotency_key: Key = None,
    cancel_after: Annotated[
        float | None,
        typer.Option(metavar="SECONDS", callback=_seconds, help="stop what is not over by then"),
    ] = None,
    as_json: Json = False,
) -> None:
    """Submit songs; prints their tasks' ids. --download waits as --wait does."""
    if idempotency_key is not None and len(urls) > 1:
        raise typer.BadParameter("--idempotency-key is for one URL: another one's is another task")
    output = Output(as_json)
    waits = wait or download is not None
    known: dict[UUID, dict[str, Any]] = {}

    with context.obj.client(output) as client:

        def submit_one(audio: str) -> None:
            submission = client.submit(audio, hook, idempotency_key, cancel_after)
            if submission.ignored:
                output.say(f"{submission.task_uuid}: the api does not know {', '.join(submission.ignored)}")
            known[submission.task_uuid] = {"audio": audio, "idempotency_key": submission.idempotency_key}
            if waits:
                output.say(f"{submission.task_uuid} queued: {audio}")
            else:
                output.result(
                    {"audio": audio, **submission.model_dump(mode="json")}, str(submission.task_uuid)
                )

        codes = _submit_all(urls, output, submit_one)
        if waits:
            codes += Watch(client, output, download, known).run(known)
    end(*codes)


def _submit_all(urls: Sequence[str], output: Output, submit_one: Callable[[str], None]) -> list[Exit]:
    """After an error that the next one would have too it submits no more; what is queued is waited for."""
    tried = 0

    def submit_next(audio: str) -> None:
        nonlocal tried
        tried += 1
        submit_one(audio)

    try:
        return each(urls, output, submit_next)
    except UvrError as error:
        output.say(f"error: {urls[tried - 1]}: {error}")
        if urls[tried:]:
            output.say(f"not submitted either: {' '.join(urls[tried:])}")
        return [exits.of_error(error)]


@app.command()
def status(context: typer.Context, ids: Ids, as_json: Json = False) -> None:
    """Tell where tasks are. The exit code is 0 however they are."""
    output = Output(as_json)

    def tell(client: UvrClient, task_uuid: UUID) -> None:
        task = client.status(task_uuid)
        lines = [f"{name:13} {value}" for name, value in view.details(task)]
        output.result(_json(task), "\n".join(lines))

    with context.obj.client(output) as client:
        codes = each(ids, output, partial(tell, client))
    end(*codes)


@app.command(name="list")
def list_tasks(
    context: typer.Context,
    state: Annotated[State | None, typer.Option(help="only those in this state")] = None,
    since: Annotated[float | None, typer.Option(metavar="TIME", parser=_since, help=FORMS)] = None,
    limit: Annotated[int, typer.Option(min=1, help="at most so many")] = 50,
    idempotency_key: Key = None,
    as_json: Json = False,
) -> None:
    """List tasks, the newest first."""
    output = Output(as_json)
    with context.obj.client(output) as client:
        tasks = client.list(state, since, idempotency_key=idempotency_key, limit=limit)
        if as_json:
            for task in tasks:
                output.json(_json(task))
        elif found := [*tasks]:
            output.print(view.tasks_table(found, output.out.width))
        else:
            output.say("no tasks")


@app.command()
def watch(context: typer.Context, ids: Ids, download: Download = None, as_json: Json = False) -> None:
    """Follow tasks until they are over, or with --download until their stems are there; with --json each
    change of them."""
    output = Output(as_json)
    with context.obj.client(output) as client:
        watch = Watch(client, output, download, every_change=True, for_receivers=download is None)
        codes = watch.run(ids)
    end(*codes)


@app.command()
def cancel(context: typer.Context, ids: Ids, as_json: Json = False) -> None:
    """Stop tasks. What is over stays as it is."""
    output = Output(as_json)

    def stop(client: UvrClient, task_uuid: UUID) -> None:
        task = client.cancel(task_uuid)
        output.result(_json(task), view.line(task) if task.is_over else f"{view.line(task)}: will be stopped")

    with context.obj.client(output) as client:
        codes = each(ids, output, partial(stop, client))
    end(*codes)


@app.command()
def redeliver(context: typer.Context, task_uuid: Id, as_json: Json = False) -> None:
    """Have the callback of a task that is over sent again."""
    output = Output(as_json)
    with context.obj.client(output) as client:
        task = client.redeliver(task_uuid)
        output.result(_json(task), f"{view.line(task)}: its callback will be sent again")


@app.command()
def deliveries(context: typer.Context, task_uuid: Id, as_json: Json = False) -> None:
    """Tell what became of a task's callback: each POST, and the next try."""
    output = Output(as_json)
    with context.obj.client(output) as client:
        found = client.deliveries(task_uuid)
        if as_json:
            for delivery in found:
                output.json(_json(delivery))
        elif found:
            output.print(view.deliveries_table(found))
        else:
            output.say(view.no_deliveries(client.status(task_uuid)))


def _json(answer: BaseModel) -> dict[str, Any]:
    return answer.model_dump(mode="json", exclude_none=True)
