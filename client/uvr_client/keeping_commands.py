"""Defines the commands `uvr delete`, `uvr archive` and `uvr usage`."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from uuid import UUID

import typer

from uvr_client import options, usage_view
from uvr_client.client import UvrClient
from uvr_client.exits import Exit
from uvr_client.output import Output
from uvr_client.session import each, end


def delete(
    context: typer.Context, ids: options.Ids, yes: options.Yes = False, as_json: options.Json = False
) -> None:
    """Delete the stems of tasks, and all but the fact that the tasks were. Asks first."""
    output = Output(as_json)
    if not yes and not _confirmed(ids):
        end(Exit.INTERRUPTED)

    def remove(client: UvrClient, task_uuid: UUID) -> None:
        client.delete(task_uuid)
        output.result({"task_uuid": str(task_uuid)}, f"{task_uuid} will be deleted within moments")

    with context.obj.client(output) as client:
        codes = each(ids, output, partial(remove, client))
    end(*codes)


def archive(
    context: typer.Context,
    task_uuid: options.Id,
    file: options.ArchiveFile = None,
    as_json: options.Json = False,
) -> None:
    """Download all stems of a task in one zip file."""
    output = Output(as_json)
    with context.obj.client(output) as client:
        path = client.archive(task_uuid, file or Path(f"{task_uuid}.zip"))
        output.result({"task_uuid": str(task_uuid), "file": str(path)}, output.path(path))


def usage(
    context: typer.Context,
    user: options.OfUser = None,
    all_users: options.OfAll = False,
    first_day: options.FromDay = None,
    last_day: options.ToDay = None,
    as_json: options.Json = False,
) -> None:
    """Print what was separated by day and model, and how much space stems and uploads take."""
    output = Output(as_json)
    with context.obj.client(output) as client:
        found = client.usage(user, all_users=all_users, first_day=first_day, last_day=last_day)
        if not as_json:
            output.print(usage_view.usage_table(found))
            if any(one.days for one in found):
                output.print(usage_view.days_table(found))
            return
        for one in found:
            output.json(one.model_dump(mode="json", exclude_none=True))


def _confirmed(ids: Sequence[UUID]) -> bool:
    what = "this task" if len(ids) == 1 else f"these {len(ids)} tasks"
    try:
        return typer.confirm(f"Delete the stems of {what} for good?", err=True)
    except typer.Abort:  # nobody can be asked: a script says --yes
        return False


COMMANDS = (delete, archive, usage)
