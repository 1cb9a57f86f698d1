"""A worker whose stage is away says so: a mount of another host's can go while it runs."""

import pytest

from tests.support.waiting import wait_for

PATIENCE_S = 60
# Neither Kafka nor the store is needed for that, and neither answers there.
SETTINGS = {
    "KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:1",
    "S3_BUCKET_NAME": "stems",
    "S3_ENDPOINT_URL": "http://127.0.0.1:1",
    "AWS_ACCESS_KEY_ID": "key",
    "AWS_SECRET_ACCESS_KEY": "secret",
    "ENGINE_SLEEP_S": "0",
}


@pytest.mark.parametrize("module", ["tests.support.processor.stand_in_processor", "uploader"])
def test_a_stage_that_goes_away_and_comes_back(stack, module):
    service = stack.start(module, SETTINGS, wait=False)

    def stage_is(ok: bool) -> bool:
        answer = service.get("/readyz")
        return answer is not None and answer[1]["checks"]["stage"]["ok"] is ok

    wait_for(lambda: stage_is(True), PATIENCE_S, "stage")
    stack.outputs.rmdir()
    wait_for(lambda: stage_is(False), PATIENCE_S, "trouble with the stage")
    detail = service.get("/readyz")[1]["checks"]["stage"]["detail"]
    assert detail == f"OUTPUT_DIR {stack.outputs}: No such file or directory"
    stack.outputs.mkdir()
    wait_for(lambda: stage_is(True), PATIENCE_S, "stage again")
