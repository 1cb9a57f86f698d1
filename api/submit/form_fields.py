"""Turns the texts of a form into the JSON body that they stand for."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic_core import from_json

from api.problems import ProblemError

# These are taken as they are written: a label may look like a number.
_TEXTS = frozenset({"hook_url", "preset", "model", "ensemble", "label", "cache"})
_LISTS = frozenset({"models", "stems", "weights", "hook_events"})


def as_json(fields: Mapping[str, Sequence[str]], audio: str) -> bytes:
    """Returns the body of a submission of `audio` with these fields.

    A field is text, or JSON where the submission wants a number, list or object. Lists may also be given by
    repeating their field. Raises ProblemError 400 for another field that is repeated.
    """
    body: dict[str, Any] = {"audio": audio}
    for name, texts in fields.items():
        if name in _LISTS:
            body[name] = _list(name, texts)
        elif len(texts) > 1:
            raise field_repeated(name, len(texts))
        else:
            body[name] = texts[0] if name in _TEXTS else _value(texts[0])
    return json.dumps(body).encode()


def field_repeated(name: str, count: int) -> ProblemError:
    return ProblemError(
        400, f"{name[:100]}: the form has this field {count} times", error_code="field_repeated"
    )


def _list(name: str, texts: Sequence[str]) -> Any:
    values = [_value(text) if name == "weights" or text.startswith("[") else text for text in texts]
    return values[0] if len(values) == 1 and isinstance(values[0], list) else values


def _value(text: str) -> Any:
    """Returns the JSON value; the text itself where it is no JSON, for the checks of the body to name."""
    try:
        return from_json(text)  # json.loads raises RecursionError for what is nested too deeply
    except ValueError:
        return text
