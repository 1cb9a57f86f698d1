"""The keys of the bucket's objects."""

from dataclasses import dataclass
from uuid import UUID


@dataclass(frozen=True)
class RunKeys:
    """Names the objects of one run of a task: their keys are `{prefix}{task_uuid}/{run}/…`."""

    prefix: str
    task_uuid: UUID
    run: int

    def stem(self, name: str, extension: str) -> str:
        """Returns the key of the stem `name`. `extension` comes without its dot."""
        return f"{self.directory}{name}.{extension}"

    @property
    def manifest(self) -> str:
        return f"{self.directory}manifest.json"

    @property
    def directory(self) -> str:
        """The prefix of all keys of the run."""
        return f"{self.prefix}{self.task_uuid}/{self.run}/"
