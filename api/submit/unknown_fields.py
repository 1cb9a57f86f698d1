"""Tells misspelt fields of a submission, which are refused, from unknown fields, which are ignored.

A field that only a newer api knows must do no harm. But a user who writes `hookurl` would wait for a callback
that never comes.
"""

import re
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from pydantic_core import from_json

from api.problems import ProblemError

FIELD_UNKNOWN = "field_unknown"
# Comparing takes up to 100 µs a name, and a body has room for thousands of names.
_MAX_COMPARED = 100
_MAX_SHOWN_CHARS = 100
_MAX_LOGGED = 10
_SHORT_NAME = 6
_LEAST_PREFIX = 4
# Words that people append to `audio`.
_ADDED = frozenset({"url", "uri", "link", "file", "address", "path", "src"})
# Fields to whose names people append `name`.
_NAMED = ("preset", "model")


def fields_of(body: bytes) -> Mapping[str, Any]:
    """Return the fields of a JSON object. Other JSON, and text that is no JSON, has none."""
    try:
        fields = from_json(body)
    except ValueError:  # the parser of the values reports what is wrong
        return {}
    return fields if isinstance(fields, dict) else {}


def unknown_fields(
    fields: Mapping[str, Any], known: Collection[str], inner: Mapping[str, Collection[str]]
) -> tuple[str, ...]:
    """Return the names in a JSON object that are not `known`.

    `inner` has the known names in objects of the object, by the objects' own names. An unknown name there is
    returned with its path, such as `output.foo`.

    Raise ProblemError 400 for a slip of a known field's name, and for an inner field outside of its object.
    """
    unknown = tuple(name for name in fields if name not in known)
    for name in unknown[:_MAX_COMPARED]:
        _refuse_if_near(name, nearest(name, known) or _inner_field(name, inner))
    for outer, names in inner.items():
        if isinstance(fields.get(outer), dict):
            unknown += _unknown_inner(outer, fields[outer], names)
    return unknown


def _unknown_inner(outer: str, fields: Mapping[str, Any], known: Collection[str]) -> tuple[str, ...]:
    unknown = [name for name in fields if name not in known]
    for name in unknown[:_MAX_COMPARED]:
        meant = nearest(name, known)
        _refuse_if_near(f"{outer}.{name}", meant and f"{outer}.{meant}")
    return tuple(f"{outer}.{name}" for name in unknown)


def _inner_field(name: str, inner: Mapping[str, Collection[str]]) -> str | None:
    """Return the path of the inner field that has this very name."""
    paths = (f"{outer}.{field}" for outer, names in inner.items() for field in names if field == name)
    return next(paths, None)


def _refuse_if_near(name: str, meant: str | None) -> None:
    if meant is not None:
        detail = f"{name[:_MAX_SHOWN_CHARS]}: there is no such field; is {meant} meant?"
        raise ProblemError(400, detail, error_code=FIELD_UNKNOWN)


def nearest(name: str, known: Collection[str]) -> str | None:
    """Return the known field of which `name` is a slip or another spelling, or None."""
    bare = _bare(name)
    # Equal letters first: MODELS is near model, too.
    same = (field for field in known if bare == _bare(field))
    return next(same, None) or next((field for field in known if _is_near(bare, _bare(field))), None)


def shown(names: Sequence[str]) -> str:
    """Return a short text of names for a log, with control and bidi characters escaped."""
    few = ", ".join(ascii(name[:_MAX_SHOWN_CHARS])[1:-1] for name in names[:_MAX_LOGGED])
    return few if len(names) <= _MAX_LOGGED else f"{few} and {len(names) - _MAX_LOGGED} more"


def _bare(name: str) -> str:
    """Return the name in lower-case letters and digits alone, with `s` for seconds."""
    return re.sub(r"(seconds?|secs?)$", "s", re.sub(r"[^a-z0-9]", "", name.lower()))


def _is_near(name: str, field: str) -> bool:
    if name.startswith(field) and name[len(field) :] in _ADDED:
        return True
    if name.removesuffix("name") == field and field in _NAMED:
        return True
    # The beginning of a field's name, such as `hook` or `cancel_after`.
    start = name.removesuffix("s")
    if len(start) >= _LEAST_PREFIX and field.startswith(start):
        return True
    is_short = len(field) <= _SHORT_NAME
    if not is_short and name.endswith(field) and len(name) <= len(field) + 3:
        return True
    return distance(name, field, 1 if is_short else 2) is not None


def distance(one: str, other: str, most: int) -> int | None:
    """Count the letters to add, remove, replace or swap with the next letter. Return None beyond `most`."""
    if abs(len(one) - len(other)) > most:
        return None
    before, row = [0] * (len(other) + 1), list(range(len(other) + 1))
    for i, a in enumerate(one, 1):
        above, row, before_above = row, [i, *[0] * len(other)], before
        for j, b in enumerate(other, 1):
            row[j] = min(above[j] + 1, row[j - 1] + 1, above[j - 1] + (a != b))
            if i > 1 and j > 1 and a == other[j - 2] and one[i - 2] == b:
                row[j] = min(row[j], before_above[j - 2] + 1)
        before = above
    return row[-1] if row[-1] <= most else None
