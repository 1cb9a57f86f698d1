"""Explains what is wrong with a submission's fields, each by its full path."""

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from api.problems import ProblemError
from common.tasks.messages.choices import MAX_ENSEMBLE_MODELS, MAX_STEMS

CHOICES_CONTRADICT = "choices_contradict"
LABEL_INVALID, METADATA_INVALID = "label_invalid", "metadata_invalid"
_CODES = {"label": LABEL_INVALID, "metadata": METADATA_INVALID}
# Where the models are in the body that check how their fields fit together.
_WHOLE = ((), ("output",))
_NAMES = {
    "preset": "expected the name of a preset, such as best; GET /presets lists them",
    "model": "expected the name of a model, such as UVR-MDX-NET-Inst_HQ_4; GET /models lists them",
    "models": "expected names of models, such as UVR-MDX-NET-Inst_HQ_4; GET /models lists them",
    "stems": "expected names of stems, such as vocals; GET /models and GET /presets list them",
}
_COUNTS = {
    "models": f"expected 2 to {MAX_ENSEMBLE_MODELS} names",
    "weights": f"expected 2 to {MAX_ENSEMBLE_MODELS} numbers, one for each of models",
    "stems": f"expected 1 to {MAX_STEMS} names",
}
_IS_NO_NAME = ("string_pattern_mismatch", "string_too_long", "string_type")
_IS_NO_COUNT = ("too_short", "too_long")


def refusal(error: ValidationError) -> ProblemError:
    """Return the problem that tells the first error in one line, without the input."""
    first = error.errors(include_url=False, include_input=False)[0]
    path = ".".join(map(str, first["loc"]))
    if first["type"] == "value_error" and first["loc"] in _WHOLE:
        # The message begins with the names of the fields.
        return ProblemError(400, ".".join((*first["loc"], _reason(first))), error_code=CHOICES_CONTRADICT)
    code = _CODES.get(str(first["loc"][0])) if first["loc"] else None
    return ProblemError(400, f"{path}: {_reason(first)}" if path else _reason(first), error_code=code)


def _reason(error: Mapping[str, Any]) -> str:
    if error["type"] == "value_error":
        return str(error["ctx"]["error"])
    words = _NAMES if error["type"] in _IS_NO_NAME else _COUNTS if error["type"] in _IS_NO_COUNT else {}
    return words.get(error["loc"][0] if error["loc"] else "", str(error["msg"]))
