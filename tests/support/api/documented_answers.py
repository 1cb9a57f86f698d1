"""Holds an app's answers against its OpenAPI document, by Schemathesis.

Its plugin for pytest is not used: the plugin makes the cases of all operations in each process that collects
tests, which takes 5 s of CPU.
"""

import re
from functools import cache

import schemathesis
from fastapi import FastAPI
from hypothesis import HealthCheck, settings
from schemathesis import GenerationMode, openapi
from schemathesis.checks import load_all_checks
from schemathesis.config import SchemathesisConfig
from schemathesis.generation.feedback import FeedbackSources
from schemathesis.pytest._test_builder import build_operation_test
from schemathesis.python._constants.orchestrator import make_constants_value_source
from schemathesis.schemas import BaseSchema
from schemathesis.specs.openapi.checks import negative_data_rejection, positive_data_acceptance

_REFUSALS = ["400", "401", "403", "404", "405", "406", "409", "415", "422", "428", "429", "5xx"]
# Deterministic: the same requests in every run.
_CONFIG = SchemathesisConfig.from_dict(
    {
        "seed": 1,
        "generation": {"deterministic": True, "max-examples": 20},
        # The library's own, and 413: a list may have more items than fit into a body.
        "checks": {"negative_data_rejection": {"expected-statuses": [*_REFUSALS, "413"]}},
        "auth": {"openapi": {"HTTPBasic": {"username": "admin", "password": "password"}}},
    }
)
# No schema can say which addresses are public, which choices go together, nor which tasks there are:
# `_refused_for_a_reason` looks.
_EXCLUDED = [positive_data_acceptance]
_REASONS = (
    *("address_invalid", "address_blocked", "field_unknown", "field_repeated"),
    *("choices_contradict", "label_invalid", "metadata_invalid", "not_an_admin"),
    *("days_invalid", "items_invalid"),
    # Of uploads: a schema knows neither which there are nor a file's checksum.
    *("upload_unknown", "upload_mismatch", "too_large", "empty_file"),
)


def _refused_for_a_reason(context, response, case) -> None:
    fits = case.meta is not None and case.meta.generation.mode is GenerationMode.POSITIVE
    if fits and 400 <= response.status_code < 500:
        problem = response.json()
        is_unknown = response.status_code == 404 and re.search("{(task|batch)_uuid}", case.path)
        # A schema cannot say what a cursor is, nor that 4.0 is no integer.
        is_said = problem["detail"].startswith(("cursor:", "priority:"))
        assert is_unknown or is_said or problem.get("error_code") in _REASONS, response.text


def _status_is_named(context, response, case) -> None:
    # `default` stands for the unexpected, and would let every status pass.
    if case.method.upper() == case.operation.method.upper():
        assert str(response.status_code) in case.operation.definition.raw["responses"], response.text


_CHECKS = [_refused_for_a_reason, _status_is_named]


@cache
def _schema(app: FastAPI) -> BaseSchema:
    load_all_checks()
    return openapi.from_asgi("/openapi.json", app, config=_CONFIG)


@settings(deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck))
def _check(case: schemathesis.Case) -> None:
    excluded = [*_EXCLUDED, negative_data_rejection] if _is_lost_in_a_form(case) else _EXCLUDED
    case.call_and_validate(excluded_checks=excluded, additional_checks=_CHECKS)


def _is_lost_in_a_form(case: schemathesis.Case) -> bool:
    """An empty list in a field's place is no part of a form at all, so the api sees nothing wrong."""
    is_form = str(case.media_type).startswith("multipart/") and isinstance(case.body, dict)
    return is_form and [] in case.body.values()


def check(app: FastAPI, method: str, path: str) -> None:
    """Send the cases of one operation, as the library's plugin would. Raises what a check finds."""
    schema = _schema(app).include(method=method, path=path)
    (operation,) = schema.get_all_operations()
    test = build_operation_test(
        config=schema.config,
        operation=operation.ok(),
        test_func=_check,
        given_kwargs={},
        feedback=FeedbackSources(constants_value_source=make_constants_value_source(schema)),
    )
    test()
