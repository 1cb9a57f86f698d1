"""Finds a model by the name that a user gives it, with or without the extension of its file."""

from collections.abc import Sequence

_SUFFIXES = (".onnx", ".pth", ".ckpt", ".yaml", ".safetensors")


class UnknownModel(Exception):
    """No model has the name; the message lists the models that there are."""


def bare(name: str) -> str:
    """Return the name without the extension of a model's file."""
    suffix = next((suffix for suffix in _SUFFIXES if name.endswith(suffix)), "")
    return name.removesuffix(suffix)


def find(name: str, models: Sequence[str]) -> str:
    """Return the one of `models` that `name` names. Raises UnknownModel."""
    if name in models:
        return name
    for model in models:
        if bare(model) == bare(name):
            return model
    raise UnknownModel(f"There is no model {name} here. There are: {', '.join(models)}")
