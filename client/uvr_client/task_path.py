"""The addresses of one task's resources."""

from uuid import UUID

from uvr_client.errors import NotFound


def task_id(given: UUID | str) -> UUID:
    """Returns the task's id. Raises NotFound when `given` is not a UUID, since no task has such an id."""
    try:
        return given if isinstance(given, UUID) else UUID(given)
    except ValueError:
        raise NotFound(404, f"There is no such task: {given!r} is not a UUID") from None


def task_path(task_uuid: UUID | str, suffix: str = "") -> str:
    """Returns the path of the task, or of what belongs to it. Raises as `task_id`."""
    return f"/tasks/{task_id(task_uuid)}{suffix}"
