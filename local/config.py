"""What the local stack runs and with which settings: the environment, `.env`, and local defaults."""

import json
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import AliasChoices

from common.settings.schema import ApiSettings, KafkaSettings, ProcessorSettings, UploaderSettings
from local import env_file, store
from local.broker import BrokerSpec
from local.errors import LocalError
from local.port_settings import PORTS, check_distinct, read_ports
from local.private_files import write_private

# Kept beside the services: the host of the demo's song, which also takes the demo's callbacks.
DEMO_HOST = "demo-song"
_DEFAULT_BUCKET = "uvr-stems"
_MAX_PROCESSORS = 16
# From one processor's health port to the next one's.
_HEALTH_PORT_STEP = 10
# Settings of the local stack itself, beside its ports.
_OWN_SETTINGS = {"PROCESSORS"}

_HEALTH_PORTS = {"api": "API_PORT", "processor": "PROCESSOR_HEALTH_PORT", "uploader": "UPLOADER_HEALTH_PORT"}
_KINDS: tuple[type[KafkaSettings], ...] = (ApiSettings, ProcessorSettings, UploaderSettings)


@dataclass(frozen=True)
class LocalConfig:
    """The stack of one checkout. `given` is the environment with `.env` below it."""

    root: Path
    given: Mapping[str, str] = field(repr=False)
    ports: Mapping[str, int]

    @property
    def directory(self) -> Path:
        return self.root / ".local"

    @property
    def run_dir(self) -> Path:
        return self.directory / "run"

    @property
    def log_dir(self) -> Path:
        return self.root / self.given.get("LOG_DIR", "logs")

    def log_dir_of(self, service: str) -> Path:
        """Processors after the first have a directory of their own, since all write `processor.log`."""
        return self.log_dir / service if number_of(service) > 1 else self.log_dir

    @property
    def runs_kafka(self) -> bool:
        return "KAFKA_BOOTSTRAP_SERVERS" not in self.given

    @property
    def runs_store(self) -> bool:
        return "S3_ENDPOINT_URL" not in self.given

    @property
    def programs(self) -> tuple[str, ...]:
        """In the order in which they start; they stop in the other."""
        servers = (("kafka",) if self.runs_kafka else ()) + (("store",) if self.runs_store else ())
        return (*servers, *self.services)

    @property
    def services(self) -> tuple[str, ...]:
        """The first processor is called `processor`, as a single one is, the next `processor-2` and so on."""
        count = int(self.given.get("PROCESSORS", "1"))
        return ("api", "processor", *(f"processor-{n}" for n in range(2, count + 1)), "uploader")

    @property
    def has_demo(self) -> bool:
        """DEMO_PORT=0 turns the demo off, and with it that its origin is trusted."""
        return self.ports["DEMO_PORT"] != 0

    @property
    def supervised(self) -> tuple[str, ...]:
        """The programs, and what the stack has beside them."""
        return (*self.programs, *((DEMO_HOST,) if self.has_demo else ()))

    @property
    def demo_dir(self) -> Path:
        """Where the demo leaves its stems, and its host the callbacks."""
        return self.directory / "demo"

    @property
    def broker(self) -> BrokerSpec:
        cache = Path(self.given.get("UVR_CACHE_DIR") or self.directory / "cache")
        ports = self.ports
        return BrokerSpec(
            self.directory / "data" / "kafka", ports["KAFKA_PORT"], ports["KAFKA_CONTROLLER_PORT"], cache
        )

    @property
    def store_dir(self) -> Path:
        return self.directory / "data" / "store"

    @property
    def store_url(self) -> str:
        return f"http://127.0.0.1:{self.ports['S3_PORT']}"

    @property
    def bucket(self) -> str:
        return self.given.get("S3_BUCKET_NAME") or _DEFAULT_BUCKET

    @property
    def demo_origin(self) -> str:
        return f"http://127.0.0.1:{self.ports['DEMO_PORT']}"

    @property
    def api_url(self) -> str:
        return f"http://{self._reachable('API_HOST')}:{self.ports['API_PORT']}"

    def health_url(self, service: str) -> str:
        host = self._reachable("API_HOST" if service == "api" else "HEALTH_HOST")
        return f"http://{host}:{self._health_port(service)}/readyz"

    def _health_port(self, service: str) -> int:
        kind, number = kind_of(service), number_of(service)
        return self.ports[_HEALTH_PORTS[kind]] + _HEALTH_PORT_STEP * (number - 1)

    def used_ports(self) -> dict[str, int]:
        """The ports that this stack listens on while it runs, by the setting that moves each."""
        names = list(_HEALTH_PORTS.values())
        names += ["KAFKA_PORT", "KAFKA_CONTROLLER_PORT"] if self.runs_kafka else []
        names += ["S3_PORT"] if self.runs_store else []
        names += ["DEMO_PORT"] if self.has_demo else []
        more = {
            f"PROCESSOR_HEALTH_PORT + {_HEALTH_PORT_STEP * (number_of(name) - 1)}": self._health_port(name)
            for name in self.services
            if number_of(name) > 1
        }
        return {name: self.ports[name] for name in names} | more

    def environment(self, model_name: str | None = None) -> dict[str, str]:
        """All that the stack says; each program gets what it needs of it (program_environment.py)."""
        env = dict(self.given)
        for name in _path_settings() & env.keys():
            # Relative ones are meant from here, wherever a command runs that `exec` starts.
            env[name] = str(self.root / env[name])
        data = self.directory / "data"
        env.setdefault("MODEL_FILE_DIR", str(self.root / "models"))
        env.setdefault("TEMP_DIR", str(data / "temp"))
        env.setdefault("OUTPUT_DIR", str(data / "outputs"))
        env.setdefault("VIEW_FILE", str(data / "view" / "view.sqlite3"))
        env["LOG_DIR"] = str(self.log_dir)
        env["API_PORT"] = str(self.ports["API_PORT"])
        env["PATH"] = os.pathsep.join(
            (str(self.directory / "bin"), str(Path(sys.executable).parent), env.get("PATH", os.defpath))
        )
        env["PYTHONPATH"] = str(self.root)
        env["PYTHONUNBUFFERED"] = "1"
        trusted = [env.get("TRUSTED_URL_PREFIXES", ""), self.demo_origin if self.has_demo else ""]
        env["TRUSTED_URL_PREFIXES"] = ",".join(filter(None, trusted))
        if model_name:
            env["MODEL_NAME"] = model_name
        if self.runs_kafka:
            env["KAFKA_BOOTSTRAP_SERVERS"] = self.broker.bootstrap
        if self.runs_store:
            env |= self._store_environment()
        return env

    def service_environment(self, service: str) -> dict[str, str]:
        """What a service gets besides: one name that means another port to each."""
        return {"HEALTH_PORT": str(self._health_port(service))}

    def settings(self) -> dict[str, str]:
        """What of `given` the stack reads."""
        known = setting_names() | PORTS.keys() | _OWN_SETTINGS
        return {name: value for name, value in self.given.items() if name in known}

    def save(self) -> None:
        """Keeps the settings for `running`; they hold passwords."""
        self.run_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_private(self._settings_file, json.dumps(self.settings()))

    def running(self) -> "LocalConfig":
        """The stack as it was last started, whatever the settings are by now."""
        if not self._settings_file.exists():
            return self
        others = {name: value for name, value in self.given.items() if name not in self.settings()}
        given = others | json.loads(self._settings_file.read_text())
        return LocalConfig(self.root, given, read_ports(given))

    @property
    def _settings_file(self) -> Path:
        return self.run_dir / "settings.json"

    def _reachable(self, name: str) -> str:
        """Where a service that listens on the host of setting `name` is reached from here."""
        host = self.given.get(name, "127.0.0.1")
        if host in ("0.0.0.0", "::", "localhost"):
            return "127.0.0.1"
        return f"[{host}]" if ":" in host else host

    def _store_environment(self) -> dict[str, str]:
        keys = store.load_keys(self.store_dir / "keys.json")
        return {
            "S3_ENDPOINT_URL": self.store_url,
            "S3_BUCKET_NAME": self.bucket,
            "AWS_ACCESS_KEY_ID": keys.access_key,
            "AWS_SECRET_ACCESS_KEY": keys.secret_key,
            "AWS_SECRET_ACCESS_KEY_FILE": "",
            "AWS_REGION": store.REGION,
        }


def load(root: Path, environ: Mapping[str, str]) -> LocalConfig:
    """Raises LocalError for a wrong `.env` or a port that is none."""
    # An empty variable counts as unset, as for the services; but an empty password is an error of theirs.
    every = {**env_file.read(root / ".env"), **environ}
    given = {name: value for name, value in every.items() if value or name.startswith("BASIC_AUTH_")}
    if "S3_ENDPOINT_URL" not in given:
        # they would name an identity that the local store doesn't know, or a profile that isn't there
        for name in ("AWS_PROFILE", "AWS_DEFAULT_PROFILE", "AWS_SESSION_TOKEN"):
            given.pop(name, None)
    # proxies from the environment know nothing of this machine's own addresses
    for name in ("NO_PROXY", "no_proxy"):
        given[name] = ",".join(filter(None, (given.get(name, ""), "127.0.0.1", "localhost")))
    _check_processors(given)
    config = LocalConfig(root, given, read_ports(given))
    check_distinct(config.used_ports())
    return config


def kind_of(service: str) -> str:
    """`processor` for `processor-2`."""
    return service.partition("-")[0]


def number_of(service: str) -> int:
    """2 for `processor-2`, 1 for `processor`."""
    return int(service.partition("-")[2] or "1")


def setting_names(kinds: tuple[type[KafkaSettings], ...] = _KINDS) -> set[str]:
    """The environment variables that the services read."""
    return {variable_name(kind, name) for kind in kinds for name in kind.model_fields}


def _path_settings() -> set[str]:
    return {
        variable_name(kind, name)
        for kind in _KINDS
        for name, field in kind.model_fields.items()
        if "Path" in str(field.annotation)
    }


def variable_name(kind: type[KafkaSettings], field_name: str) -> str:
    alias = kind.model_fields[field_name].validation_alias
    return str(alias.choices[0]) if isinstance(alias, AliasChoices) else field_name.upper()


def _check_processors(given: Mapping[str, str]) -> None:
    text = given.get("PROCESSORS", "1")
    if not text.isdecimal() or not 1 <= int(text) <= _MAX_PROCESSORS:
        raise LocalError(f"PROCESSORS: expected a number from 1 to {_MAX_PROCESSORS} (got {text!r})")
