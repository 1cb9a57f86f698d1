"""The OpenAPI document against the app, with data that fits it and data that does not."""

import itertools

import pytest

from api.app import create_app
from common.settings.schema import ApiSettings
from tests.support.api.api_client import MemoryTogether, ReportingPublisher
from tests.support.api.memory_uploads import BUCKET, memory_gate
from tests.support.api.stored_view import StoredView
from tests.support.memory_s3 import MemoryS3

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

OPERATIONS = [
    (method.upper(), path) for path, methods in app.openapi()["paths"].items() for method in methods
]


@pytest.mark.slow
@pytest.mark.parametrize(("method", "path"), OPERATIONS)
def test_every_answer_is_as_documented(method: str, path: str):
    # Here, since the library takes a second of each process that collects tests.
    from tests.support.api.documented_answers import check

    check(app, method, path)
