"""Makes a fake api and a store take songs that go straight into the store, in parts."""

from uuid import uuid4

from tests.support.client.fake_api import FakeApi, answer
from tests.support.http_server import ScriptedServer, serve


def takes_parts(api: FakeApi, store: ScriptedServer, count: int) -> str:
    """Answers `POST /uploads` with `count` parts of one byte. Returns the upload's path."""
    upload_id = str(uuid4())
    parts = [
        {"number": number, "url": store.on(f"/{number}", serve(b"")), "bytes": 1}
        for number in range(1, count + 1)
    ]
    api.on("/uploads", answer(201, {"upload_id": upload_id, "audio": f"upload:{upload_id}", "parts": parts}))
    api.on(f"/uploads/{upload_id}", answer(200, {}))
    api.on(f"/uploads/{upload_id}/complete", answer(200, {}))
    return f"/uploads/{upload_id}"
