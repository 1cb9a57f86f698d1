"""The parameters by which `GET /tasks` selects tasks."""

from typing import Annotated

from fastapi import Query
from pydantic import AfterValidator

from common.tasks.messages.fields import MAX_LABEL_CHARS

Seconds = Annotated[float | None, Query(allow_inf_nan=False, description="seconds since the epoch")]
KeyFilter = Annotated[
    str | None,
    Query(
        min_length=1,
        max_length=255,
        pattern="^[!-~]+$",
        description="the key that the task was submitted with",
    ),
]

LabelFilter = Annotated[
    str | None,
    Query(
        min_length=1,
        max_length=MAX_LABEL_CHARS,
        description="the beginning of the tasks' labels, upper and lower case told apart",
    ),
]

# Each word is looked for in every task. A whole title may be pasted all the same.
_MAX_WORDS = 16


def _few_words(text: str) -> str:
    if len(text.split()) > _MAX_WORDS:
        raise ValueError(f"at most {_MAX_WORDS} words can be searched for; leave some out")
    return text


SearchFilter = Annotated[
    str,
    AfterValidator(_few_words),
    Query(
        max_length=MAX_LABEL_CHARS,
        description="words that the label, the file's name or the address has, in any order and case; at "
        f"most {_MAX_WORDS}",
    ),
]
