"""The OpenAPI document as a whole is one: after its standard, with examples that fit, and no loose ends."""

from collections.abc import Iterator
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from schemathesis.specs.openapi.definitions import OPENAPI_31

from tests.support.api.api_client import ApiClient

METHODS = {"get", "put", "post", "delete", "options", "head", "patch", "trace"}


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    return ApiClient().request("GET", "/openapi.json").json()


def objects(value: Any, where: str = "#") -> Iterator[tuple[str, dict[str, Any]]]:
    """Every object in it, with its place."""
    if isinstance(value, dict):
        yield where, value
    children = (
        value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    )
    for name, child in children:
        yield from objects(child, f"{where}/{name}")


def pointed_at(document: dict[str, Any], reference: str) -> Any:
    """Raises KeyError for a reference that leads nowhere."""
    assert reference.startswith("#/"), reference
    found: Any = document
    for step in reference.removeprefix("#/").split("/"):
        found = found[step.replace("~1", "/").replace("~0", "~")]
    return found


def test_it_is_what_its_standard_says(document):
    assert document["openapi"].startswith("3.1.")
    errors = [f"{e.json_path}: {e.message}" for e in Draft202012Validator(OPENAPI_31).iter_errors(document)]
    assert errors == []


def test_every_reference_leads_somewhere(document):
    references = [(where, part["$ref"]) for where, part in objects(document) if "$ref" in part]
    assert len(references) > 20
    for where, reference in references:
        assert pointed_at(document, reference), where


def test_every_schema_is_one_and_is_used(document):
    used = {part["$ref"] for _, part in objects(document) if "$ref" in part}
    for name, schema in document["components"]["schemas"].items():
        Draft202012Validator.check_schema(schema)
        assert f"#/components/schemas/{name}" in used


def test_every_example_is_one_of_its_schema(document):
    shown = [
        (where, part["schema"], part["example"])
        for where, part in objects(document)
        if "schema" in part and "example" in part
    ]
    assert len(shown) > 20
    for where, schema, example in shown:
        whole = {**schema, "components": document["components"]}
        errors = [error.message for error in Draft202012Validator(whole).iter_errors(example)]
        assert errors == [], where


def test_operations_have_names_of_their_own_and_the_parameters_of_their_path(document):
    names = []
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            assert method in METHODS
            names.append(operation["operationId"])
            declared = {p["name"] for p in operation.get("parameters", []) if p["in"] == "path"}
            assert declared == {step[1:-1] for step in path.split("/") if step.startswith("{")}
            for scheme in operation.get("security", []):
                assert scheme.keys() <= document["components"]["securitySchemes"].keys()
    assert len(names) == len(set(names))
