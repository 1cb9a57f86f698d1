"""Settings from the environment have the contract's names and defaults. Wrong ones are explained clearly."""

import ast
import os
from itertools import pairwise
from pathlib import Path

import pytest
from pydantic import ValidationError
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

from common.settings import schema
from common.settings.exit_codes import EXIT_BAD_SETTINGS
from common.settings.loading import BadSettings, load, load_or_exit
from common.settings.schema import ApiSettings, KafkaSettings, ProcessorSettings, UploaderSettings


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch):
    """Removes the settings of the machine that runs the tests."""
    for kind in (ApiSettings, ProcessorSettings, UploaderSettings):
        for name, field in kind.model_fields.items():
            choices = getattr(field.validation_alias, "choices", ())
            for variable in (name, *choices):
                monkeypatch.delenv(variable.upper(), raising=False)
    assert "API_PORT" not in os.environ


@pytest.fixture
def env(monkeypatch):
    def set_all(**variables):
        for name, value in variables.items():
            monkeypatch.setenv(name, value)

    return set_all


def test_the_apis_defaults_are_the_contracts():
    settings = load(ApiSettings)
    assert (settings.basic_auth_username, settings.basic_auth_password.get_secret_value()) == (
        "admin",
        "password",
    )
    assert settings.api_port == 8000
    assert (settings.kafka_task_topic, settings.kafka_result_topic) == ("uvr_tasks", "uvr_results")
    assert settings.allowed_url_ports == (80, 443, 8080, 8443)
    assert settings.trusted_url_prefixes == ()


def test_the_processors_defaults_are_the_contracts():
    settings = load(ProcessorSettings)
    assert settings.kafka_group_id == "uvr_processor_group"
    assert settings.kafka_max_poll_interval_ms == 600_000
    assert settings.kafka_session_timeout_ms == 15_000
    assert (settings.model_name, settings.output_format, settings.device) == (
        "UVR-MDX-NET-Inst_HQ_4",
        "wav",
        "auto",
    )
    assert settings.worker_id


def test_the_uploaders_defaults_are_the_contracts(env):
    env(S3_BUCKET_NAME="stems")
    settings = load(UploaderSettings)
    assert settings.kafka_group_id == "uvr_uploader_group"
    assert settings.kafka_max_poll_interval_ms == 300_000
    assert settings.s3_endpoint_url is None
    assert settings.webhook_secret is None


def test_the_services_own_names_are_read(env):
    env(
        KAFKA_PROCESSOR_GROUP_ID="g",
        KAFKA_PROCESSOR_MAX_POLL_INTERVAL_MS="50000",
        PROCESSOR_SLOTS="1",
        KAFKA_UPLOADER_GROUP_ID="h",
    )
    settings = load(ProcessorSettings)
    assert (settings.kafka_group_id, settings.kafka_max_poll_interval_ms, settings.slots) == ("g", 50_000, 1)


def test_lists_are_split_at_commas(env):
    env(ALLOWED_URL_PORTS="80, 8080,", TRUSTED_URL_PREFIXES="http://127.0.0.1:9000/, https://Store.Example")
    settings = load(ApiSettings)
    assert settings.allowed_url_ports == (80, 8080)
    assert settings.trusted_url_prefixes == ("http://127.0.0.1:9000", "https://store.example")


@pytest.mark.parametrize(
    ("given", "believed"),
    [
        ("", ()),
        ("10.0.0.5", ("10.0.0.5",)),
        ("10.0.0.5, 172.18.0.0/16,", ("10.0.0.5", "172.18.0.1")),
        ("fd00::1,fe80::/10", ("fd00:0::1", "fe80::2")),
        (" * ", ("203.0.113.9",)),
    ],
)
def test_each_proxy_that_is_accepted_is_believed_and_no_other(env, given, believed):
    env(FORWARDED_ALLOW_IPS=given)
    proxies = ProxyHeadersMiddleware(None, load(ApiSettings).forwarded_allow_ips).trusted_hosts
    assert all(address in proxies for address in believed)
    assert ("192.0.2.1" in proxies) == (given.strip() == "*")


def test_the_network_of_an_address_in_it_is_named(env):
    env(FORWARDED_ALLOW_IPS="172.18.0.1/16")
    with pytest.raises(BadSettings, match=r"172\.18\.0\.1/16.*its network is 172\.18\.0\.0/16"):
        load(ApiSettings)


def test_an_empty_variable_is_as_good_as_none(env):
    env(API_PORT="", KAFKA_REPLICATION_FACTOR="", TRUSTED_URL_PREFIXES="", KAFKA_SSL_CAFILE="")
    settings = load(ApiSettings)
    assert (settings.api_port, settings.kafka_replication_factor) == (8000, None)
    assert (settings.trusted_url_prefixes, settings.kafka_ssl_cafile) == ((), None)


@pytest.mark.parametrize("name", ["BASIC_AUTH_USERNAME", "BASIC_AUTH_PASSWORD"])
def test_empty_credentials_are_refused_rather_than_taken_for_the_well_known_ones(env, name):
    env(**{name: ""})
    with pytest.raises(BadSettings, match=name):
        load(ApiSettings)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("BASIC_AUTH_USERNAME", "a:b"),
        ("BASIC_AUTH_USERNAME", "ädmin"),
        ("BASIC_AUTH_PASSWORD", "pässword"),
        ("BASIC_AUTH_PASSWORD", "line\nend"),
        ("API_PORT", "eighty"),
        ("API_PORT", "65536"),
        ("API_PORT", "-1"),
        ("MAX_BODY_BYTES", "0"),
        ("MAX_CONNECTIONS", "0"),
        ("MAX_CONNECTIONS_PER_ADDRESS", "0"),
        ("KAFKA_ACK_TIMEOUT_S", "0"),
        ("KAFKA_TASK_TOPIC", "uvr tasks"),
        ("KAFKA_TASK_TOPIC", "..."),
        ("KAFKA_STATUS_TOPIC", "uvr_tasks"),
        ("KAFKA_BOOTSTRAP_SERVERS", "no-port"),
        ("KAFKA_BOOTSTRAP_SERVERS", "a:1, b:2"),
        ("KAFKA_TOPIC_PARTITIONS", "0"),
        ("KAFKA_REPLICATION_FACTOR", "0"),
        ("KAFKA_SECURITY_PROTOCOL", "TLS"),
        ("ALLOWED_URL_PORTS", "80,http"),
        ("ALLOWED_URL_PORTS", "0"),
        ("ALLOWED_URL_PORTS", "65536"),
        ("TRUSTED_URL_PREFIXES", "127.0.0.1:9000"),
        ("TRUSTED_URL_PREFIXES", "http://host/path"),
        ("TRUSTED_URL_PREFIXES", "http://*"),
        ("TRUSTED_URL_PREFIXES", "ftp://host"),
        ("FORWARDED_ALLOW_IPS", "172.18.0.1/16"),
        ("FORWARDED_ALLOW_IPS", "10.0.0.0/33"),
        ("FORWARDED_ALLOW_IPS", "10.0.0.0/8;172.16.0.0/12"),
        ("FORWARDED_ALLOW_IPS", "10.0.0.5 10.0.0.6"),
        ("FORWARDED_ALLOW_IPS", "10.0.0.5,nginx"),
        ("FORWARDED_ALLOW_IPS", "10.0.0.1:443"),
        ("FORWARDED_ALLOW_IPS", "[fd00::1]"),
        ("FORWARDED_ALLOW_IPS", "10.0.0.5,*"),
        ("FORWARDED_ALLOW_IPS", "10.*"),
        ("LOG_LEVEL", "LOUD"),
        ("LOG_FORMAT", "xml"),
    ],
)
def test_a_wrong_setting_is_named(env, name, value):
    env(**{name: value})
    with pytest.raises(BadSettings, match=name):
        load(ApiSettings)


SECONDS = [
    (kind, name)
    for kind in (ApiSettings, ProcessorSettings, UploaderSettings)
    for name, setting in kind.model_fields.items()
    if setting.annotation is float
]


@pytest.mark.parametrize("value", ["inf", "nan", "-inf"])
@pytest.mark.parametrize(("kind", "name"), SECONDS)
def test_no_setting_is_infinite_or_no_number(env, kind, name, value):
    env(**{name.upper(): value, "S3_BUCKET_NAME": "stems"})
    with pytest.raises(BadSettings, match=name.upper()):
        load(kind)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("KAFKA_PROCESSOR_MAX_POLL_INTERVAL_MS", "soon"),
        ("PROCESSOR_SLOTS", "0"),
        ("KAFKA_SESSION_TIMEOUT_MS", "100"),
        ("WORKER_ID", "a b"),
        ("DEVICE", "tpu"),
        ("OUTPUT_FORMAT", "wma"),
        ("MODEL_NAME", "../../etc/passwd"),
    ],
)
def test_a_wrong_setting_of_the_processor_is_named_as_it_is_set(env, name, value):
    env(**{name: value})
    with pytest.raises(BadSettings, match=name):
        load(ProcessorSettings)


def test_a_missing_setting_is_named():
    with pytest.raises(BadSettings, match="S3_BUCKET_NAME is not set"):
        load(UploaderSettings)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("S3_BUCKET_NAME", "No_Bucket"),
        ("S3_ENDPOINT_URL", "store:8333"),
        ("S3_PUBLIC_DOMAIN", "stems.example.com and more"),
        ("S3_PUBLIC_DOMAIN", "https://stems.example.com?token=1"),
        ("S3_PREFIX", "/stems"),
        ("S3_PREFIX", "no-slash"),
        ("S3_PREFIX", "./"),
        ("S3_PREFIX", "stems/../"),
        ("S3_URL_EXPIRES_S", "604801"),
    ],
)
def test_a_wrong_setting_of_the_uploader_is_named(env, name, value):
    env(S3_BUCKET_NAME="stems")
    env(**{name: value})
    with pytest.raises(BadSettings, match=name):
        load(UploaderSettings)


def test_all_that_is_wrong_is_said_at_once(env):
    env(API_PORT="x", MAX_BODY_BYTES="y")
    with pytest.raises(BadSettings, match=r"API_PORT.*x.*MAX_BODY_BYTES.*y|MAX_BODY_BYTES.*y.*API_PORT.*x"):
        load(ApiSettings)


@pytest.mark.parametrize("name", ["BASIC_AUTH_PASSWORD", "KAFKA_SASL_PASSWORD"])
def test_a_secret_is_told_nowhere(env, name):
    env(**{name: "TOPSECRET"})
    assert "TOPSECRET" not in repr(load(ApiSettings))
    env(**{name: "TOPSECRETé"}, API_PORT="wrong")
    with pytest.raises(BadSettings) as caught:
        load(ApiSettings)
    assert "TOPSECRET" not in str(caught.value)


SECRETS = [
    (ApiSettings, "BASIC_AUTH_PASSWORD"),
    (ProcessorSettings, "KAFKA_SASL_PASSWORD"),
    (ApiSettings, "AWS_SECRET_ACCESS_KEY"),
    (UploaderSettings, "AWS_SECRET_ACCESS_KEY"),
    (ProcessorSettings, "AWS_SESSION_TOKEN"),
    (UploaderSettings, "AWS_SESSION_TOKEN"),
    (UploaderSettings, "WEBHOOK_SECRET"),
    (UploaderSettings, "WEBHOOK_SIGNING_KEY"),
]


@pytest.mark.parametrize(("kind", "name"), SECRETS)
@pytest.mark.parametrize(
    ("content", "secret"),
    [("TOP SECRET\n", "TOP SECRET"), ("TOPSECRET\r\n", "TOPSECRET"), ("TOPSECRET", "TOPSECRET")],
)
def test_a_secret_is_read_from_its_file_without_the_last_line_end(env, tmp_path, kind, name, content, secret):
    file = tmp_path / "secret"
    file.write_bytes(content.encode())
    env(S3_BUCKET_NAME="stems", **{f"{name}_FILE": str(file)})
    if name == "AWS_SECRET_ACCESS_KEY":
        env(AWS_ACCESS_KEY_ID="its-pair")
    if name == "AWS_SESSION_TOKEN":
        env(AWS_ACCESS_KEY_ID="its-pair", AWS_SECRET_ACCESS_KEY="its-secret")
    settings = load(kind)
    assert getattr(settings, name.lower()).get_secret_value() == secret
    assert secret not in repr(settings)
    assert name.lower() in settings.model_fields_set


@pytest.mark.parametrize(("kind", "name"), SECRETS)
def test_a_secret_that_is_given_twice_is_refused(env, tmp_path, kind, name):
    file = tmp_path / "secret"
    file.write_text("TOPSECRET")
    env(S3_BUCKET_NAME="stems", **{name: "OTHERSECRET", f"{name}_FILE": str(file)})
    with pytest.raises(BadSettings, match=f"{name} and {name}_FILE are both set") as caught:
        load(kind)
    assert "SECRET" not in str(caught.value).replace(name, "")


@pytest.mark.parametrize(
    ("content", "why"), [(None, "No such file"), (b"", "is empty"), (b"\n", "is empty"), (b"\xff", "UTF-8")]
)
def test_a_secrets_file_that_cannot_be_used_is_named(env, tmp_path, content, why):
    file = tmp_path / "secret"
    if content is not None:
        file.write_bytes(content)
    env(BASIC_AUTH_PASSWORD_FILE=str(file))
    with pytest.raises(BadSettings, match=f"BASIC_AUTH_PASSWORD_FILE.*{why}"):
        load(ApiSettings)


def test_a_secret_from_a_file_is_held_to_the_same_rules(env, tmp_path):
    file = tmp_path / "secret"
    file.write_text("two\nlines\n")
    env(BASIC_AUTH_PASSWORD_FILE=str(file))
    with pytest.raises(BadSettings, match="BASIC_AUTH_PASSWORD: expected printable ASCII") as caught:
        load(ApiSettings)
    assert "lines" not in str(caught.value)


@pytest.mark.parametrize(
    ("given", "missing"),
    [
        ({}, "KAFKA_SASL_MECHANISM"),
        ({"KAFKA_SASL_MECHANISM": "PLAIN"}, "KAFKA_SASL_USERNAME"),
        ({"KAFKA_SASL_MECHANISM": "PLAIN", "KAFKA_SASL_USERNAME": "u"}, "KAFKA_SASL_PASSWORD"),
    ],
)
def test_half_a_sign_in_to_kafka_is_refused(env, given, missing):
    env(KAFKA_SECURITY_PROTOCOL="SASL_SSL", **given)
    with pytest.raises(BadSettings, match=missing):
        load(KafkaSettings)


def test_a_whole_sign_in_to_kafka_is_taken(env):
    env(
        KAFKA_SECURITY_PROTOCOL="SASL_SSL",
        KAFKA_SASL_MECHANISM="SCRAM-SHA-512",
        KAFKA_SASL_USERNAME="u",
        KAFKA_SASL_PASSWORD="p",
    )
    assert load(KafkaSettings).kafka_sasl_mechanism == "SCRAM-SHA-512"


def test_settings_do_not_change():
    settings = load(ApiSettings)
    with pytest.raises(ValidationError):
        settings.api_port = 1


def test_an_entry_point_says_what_is_wrong_and_ends(env, capsys):
    env(API_PORT="no")
    with pytest.raises(SystemExit) as caught:
        load_or_exit(ApiSettings)
    assert caught.value.code == EXIT_BAD_SETTINGS
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("cannot start: API_PORT")


@pytest.mark.parametrize("kind", [ApiSettings, UploaderSettings])
@pytest.mark.parametrize("name", ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"])
def test_half_a_pair_of_keys_is_refused_at_start(env, kind, name):
    env(S3_BUCKET_NAME="stems", **{name: "half"})
    with pytest.raises(BadSettings, match="AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY") as caught:
        load(kind)
    assert "half" not in str(caught.value)


def test_a_session_token_without_its_keys_is_refused_at_start(env):
    env(S3_BUCKET_NAME="stems", AWS_SESSION_TOKEN="TOPSECRET")
    with pytest.raises(BadSettings, match=r"^AWS_SESSION_TOKEN: expected AWS_ACCESS_KEY_ID and") as caught:
        load(UploaderSettings)
    assert "TOPSECRET" not in str(caught.value)


def test_an_api_needs_no_store_and_an_uploader_does():
    assert load(ApiSettings).s3_bucket_name is None
    with pytest.raises(BadSettings, match="S3_BUCKET_NAME is not set"):
        load(UploaderSettings)


def test_every_setting_is_described():
    """A docstring below each setting describes it."""
    folder = Path(schema.__file__).parent
    bodies = [
        kind.body
        for file in folder.glob("*.py")
        for kind in ast.walk(ast.parse(file.read_text()))
        if isinstance(kind, ast.ClassDef)
    ]
    described, bare = set(), set()
    for body in bodies:
        for line, below in pairwise(body):
            if isinstance(line, ast.AnnAssign):
                (described if is_text(below) else bare).add(line.target.id)
    assert len(described) > 80
    assert bare <= described


def is_text(node: ast.stmt) -> bool:
    return isinstance(node, ast.Expr) and isinstance(getattr(node.value, "value", None), str)
