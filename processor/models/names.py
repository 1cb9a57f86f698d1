"""Finds a model by the name that a user gives it, with or without the extension of its file."""

from collections.abc import Sequence

from common.tasks.messages.choices import bare_model_name


class UnknownModel(Exception):
    """No model has the name; the message lists the models that there are."""


def find(name: str, models: Sequence[str]) -> str:
    """Return the one of `models` that `name` names. Raises UnknownModel."""
    if name in models:
        return name
    for model in models:
        if bare_model_name(model) == bare_model_name(name):
            return model
    raise UnknownModel(f"There is no model {name} here. There are: {', '.join(models)}")
