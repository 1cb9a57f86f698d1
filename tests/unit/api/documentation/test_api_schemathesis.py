"""The OpenAPI document against the app, with data that fits it and data that does not."""

import itertools
import re

import schemathesis
from hypothesis import HealthCheck, settings
from schemathesis import GenerationMode, openapi
from schemathesis.config import SchemathesisConfig
from schemathesis.specs.openapi.checks import positive_data_acceptance

from api.app import create_app
from common.settings.schema import ApiSettings
from tests.support.api.api_client import MemoryTogether, ReportingPublisher
from tests.support.api.memory_uploads import BUCKET, memory_gate
from tests.support.api.stored_view import StoredView
from tests.support.memory_s3 import MemoryS3

# Deterministic: the same requests in every run.
_CONFIG = SchemathesisConfig.from_dict(
    {
        "seed": 1,
        "generation": {"deterministic": True, "max-examples": 100},
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

_view = StoredView()
# No limit of a minute is reached: each look at the clock is a minute later.
_minutes_s = itertools.count(0.0, 60.0)

app = create_app(
    ApiSettings(auth_failures_per_minute=1_000_000, **BUCKET),
    ReportingPublisher(view=_view),
    _view,
    lambda: next(_minutes_s),
    uploads=memory_gate(MemoryS3(), max_upload_bytes_per_user=0),
    together=MemoryTogether(),
)
schema = openapi.from_asgi("/openapi.json", app, config=_CONFIG)


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


def _test_of(method: str, path: str):
    """A test function of one operation. All operations in one function would share its node id."""

    @schema.include(method=method, path=path).parametrize()
    @settings(deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck))
    def test(case: schemathesis.Case):
        case.call_and_validate(excluded_checks=_EXCLUDED, additional_checks=_CHECKS)

    return test


for _result in schema.get_all_operations():
    _operation = _result.ok()
    _words = re.sub(r"[^a-z]+", "_", f"{_operation.method}{_operation.path}").strip("_")
    globals()[f"test_every_answer_is_as_documented_{_words}"] = _test_of(
        _operation.method.upper(), _operation.path
    )
