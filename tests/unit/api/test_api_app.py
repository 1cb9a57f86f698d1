"""An app and what it holds live as long as somebody refers to it."""

import gc
import weakref

from tests.support.api.api_client import ApiClient


def test_an_app_that_nobody_refers_to_is_gone_after_its_requests():
    client = ApiClient()
    for path in ("/", "/console/none.js", "/docs", "/docs/none", "/openapi.json", "/health"):
        client.request("GET", path)
    client.generate()
    client.view.release()
    app = weakref.ref(client.app)
    del client
    gc.collect()
    assert app() is None
