"""The processor's children, which read strangers' files, do not get its secrets in their environment."""

from processor import child_process

SECRETS = [
    "KAFKA_SASL_PASSWORD",
    "KAFKA_SASL_PASSWORD_FILE",
    "kafka_sasl_password",  # counts as the setting too
    "WEBHOOK_SECRET",
    "WEBHOOK_SIGNING_KEY",
    "SESSION_KEY",
    "UVR_API_KEY",
    "HF_TOKEN",
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "AWS_SHARED_CREDENTIALS_FILE",
]


def test_a_childs_environment_holds_no_secret(monkeypatch):
    for name in SECRETS:
        monkeypatch.setenv(name, "marked")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1")
    process, channel = child_process.spawn(
        "tests.support.processor.environment_teller", [], {"OMP_NUM_THREADS": "1"}
    )
    try:
        environment = channel.receive(60)
    finally:
        child_process.kill(process)
        channel.close()
    assert [name for name in environment if environment[name] == "marked"] == []
    assert environment["CUDA_VISIBLE_DEVICES"] == "1"
    assert environment["OMP_NUM_THREADS"] == "1"
    assert "PATH" in environment
