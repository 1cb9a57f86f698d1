"""Defines the command `uvr`: its subcommands, their arguments and their help."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, TypeVar
from uuid import UUID

import typer
from pydantic import BaseModel
from rich.table import Table

from uvr_client import options, view
from uvr_client.batch_commands import COMMANDS as BATCH_COMMANDS
from uvr_client.client import UvrClient
from uvr_client.keeping_commands import COMMANDS
from uvr_client.models import Task
from uvr_client.output import Output
from uvr_client.session import Connection, each, end
from uvr_client.settings import Given
from uvr_client.submitting import submit
from uvr_client.transport import Patience
from uvr_client.watching import TaskWatcher

M = TypeVar("M", bound=BaseModel)

_EPILOG = (
    "Exit codes: 0 success; 2 wrong usage; 3 a task was cancelled; 4 a task failed; "
    "5 no such task, or deleted stems; 6 the task's state does not allow it; "
    "64 a setting is missing or wrong; 65 the api refused the request; "
    "66 a file cannot be read or uploaded; 69 the api does not answer; 70 the api failed; "
    "74 a download failed, or the output cannot be written; 75 try again later; "
    "77 no or wrong credentials; 130 interrupted; 141 nobody reads the output. "
    "If several apply, the highest one is used."
)

_NO_PRESETS = (
    "no processor has announced a preset: the operator installs the models of one by MODELS "
    "(docs/production.md)"
)
# No pretty tracebacks: they print the values of variables, passwords among them.
app = typer.Typer(
    help="Submit songs to a UVR API, follow their separation and download the stems.",
    epilog=_EPILOG,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


@app.callback()
def connection(
    context: typer.Context,
    url: options.Url = None,
    username: options.Username = None,
    password: options.Password = None,
    key: options.ApiKey = None,
    config: options.Config = None,
    version: options.Version = False,
) -> None:
    """Submit songs to a UVR API, follow their separation and download the stems."""
    context.obj = Connection(Given(url, username, password, key), config, context.obj or Patience())


for _command in (submit, *BATCH_COMMANDS, *COMMANDS):
    app.command()(_command)


@app.command()
def status(context: typer.Context, ids: options.Ids, as_json: options.Json = False) -> None:
    """Print the state of tasks. The exit code is 0 whatever their states are."""
    output = Output(as_json)

    def print_status(client: UvrClient, task_uuid: UUID) -> None:
        task = client.status(task_uuid)
        lines = [f"{name:13} {value}" for name, value in view.details(task)]
        output.result(_json(task), "\n".join(lines))

    with context.obj.client(output) as client:
        codes = each(ids, output, partial(print_status, client))
    end(*codes)


@app.command(name="list")
def list_tasks(
    context: typer.Context,
    state: options.InState = None,
    since: options.Since = None,
    limit: options.Limit = 50,
    idempotency_key: options.WithKey = None,
    label: options.WithLabel = None,
    search: options.Search = None,
    as_json: options.Json = False,
) -> None:
    """List tasks, the newest first."""
    output = Output(as_json)
    with context.obj.client(output) as client:
        wanted: dict[str, Any] = {"idempotency_key": idempotency_key, "label": label, "search": search}
        tasks = client.list(state, since, limit=limit, **wanted)
        if as_json:
            for task in tasks:
                output.json(_json(task))
        elif found := [*tasks]:
            output.print(view.tasks_table(found, output.out.width))
        else:
            output.say("no tasks")


@app.command()
def watch(
    context: typer.Context, ids: options.Ids, download: options.Download = None, as_json: options.Json = False
) -> None:
    """Follow tasks until they have ended.

    With --download, follow them until their stems are ready. With --json, print each change.
    """
    output = Output(as_json)
    with context.obj.client(output) as client:
        watch = TaskWatcher(client, output, download, every_change=True, until_delivered=download is None)
        codes = watch.run(ids)
    end(*codes)


@app.command()
def cancel(context: typer.Context, ids: options.Ids, as_json: options.Json = False) -> None:
    """Cancel tasks. A task that has ended stays as it is."""
    output = Output(as_json)

    def stop(client: UvrClient, task_uuid: UUID) -> None:
        task = client.cancel(task_uuid)
        output.result(_json(task), _cancel_line(task))

    with context.obj.client(output) as client:
        codes = each(ids, output, partial(stop, client))
    end(*codes)


@app.command()
def redeliver(context: typer.Context, task_uuid: options.Id, as_json: options.Json = False) -> None:
    """Send the callback of an ended task again."""
    output = Output(as_json)
    with context.obj.client(output) as client:
        task = client.redeliver(task_uuid)
        output.result(_json(task), f"{view.task_line(task)}: its callback will be sent again")


@app.command()
def deliveries(context: typer.Context, task_uuid: options.Id, as_json: options.Json = False) -> None:
    """Print each POST of a task's callback.

    A line has the receiver's answer and the time of the next try.
    """
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


@app.command(name="models")
def list_models(context: typer.Context, as_json: options.Json = False) -> None:
    """List the models that --model and --models may name."""
    output = Output(as_json)
    with context.obj.client(output) as client:
        _list(output, client.models(), view.models_table, "no processor has announced a model")


@app.command(name="presets")
def list_presets(context: typer.Context, as_json: options.Json = False) -> None:
    """List the presets that --preset may name."""
    output = Output(as_json)
    with context.obj.client(output) as client:
        _list(output, client.presets(), view.presets_table, _NO_PRESETS)


def _list(output: Output, found: Sequence[M], table: Callable[[Sequence[M]], Table], none: str) -> None:
    if output.as_json:
        for one in found:
            output.json(_json(one))
    elif found:
        output.print(table(found))
    else:
        output.say(none)


def _cancel_line(task: Task) -> str:
    line = view.task_line(task)
    return line if task.is_over else f"{line}: it will be stopped in a moment"


def _json(answer: BaseModel) -> dict[str, Any]:
    return answer.model_dump(mode="json", exclude_none=True)
