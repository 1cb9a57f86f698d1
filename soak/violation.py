"""Says what a soak finds wrong."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Violation:
    """One thing that must not happen: `kind` is one of a few words, `text` says where."""

    kind: str
    text: str

    def __str__(self) -> str:
        return f"{self.kind}: {self.text}"
