"""A form's fields stand for the JSON body that a submission has."""

import json

import pytest

from api.problems import ProblemError
from api.submit.form_fields import as_json
from api.submit.submission import Submission

SCHEMA = Submission.model_json_schema()["properties"]


def types_of(name: str) -> set[str]:
    """The JSON types that the field of a submission takes."""
    return {one.get("type", "object") for one in SCHEMA[name].get("anyOf", [SCHEMA[name]])}


FIELDS = [name for name in SCHEMA if name != "audio"]
LISTS = [name for name in FIELDS if "array" in types_of(name)]


def body(**fields: list[str]) -> dict:
    return json.loads(as_json(fields, "upload:x"))


@pytest.mark.parametrize("name", LISTS)
def test_each_list_is_given_by_repeating_its_field_or_as_json(name):
    expected = [1, 2] if name == "weights" else ["1", "2"]
    assert body(**{name: ["1", "2"]})[name] == expected
    assert body(**{name: [json.dumps(expected)]})[name] == expected
    assert body(**{name: ["1"]})[name] == expected[:1]


@pytest.mark.parametrize("name", [name for name in FIELDS if name not in LISTS])
def test_each_other_field_is_given_once(name):
    assert body(**{name: ["1"]})[name] == ("1" if "string" in types_of(name) else 1)
    with pytest.raises(ProblemError) as caught:
        as_json({name: ["1", "2"]}, "upload:x")
    assert caught.value.error_code == "field_repeated"


@pytest.mark.parametrize("name", ["metadata", "weights", "stems", "priority"])
def test_what_is_nested_too_deeply_is_text_for_the_checks_of_the_body(name):
    deep = "[" * 100_000
    assert body(**{name: [deep]})[name] in (deep, [deep])
