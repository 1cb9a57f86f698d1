"""Describes the local stack: its programs, and their settings from the environment, `.env` and defaults."""

import json
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from local import demo_host, env_file, service_settings, store
from local.broker import BrokerSpec
from local.errors import LocalError
from local.port_settings import PORTS, check_distinct, read_ports
from local.private_files import read_json, write_private

# The program that serves the demo's song and accepts its callbacks.
DEMO_HOST = "demo-song"
_DEFAULT_BUCKET = "uvr-stems"
_MAX_PROCESSORS = 16
# The distance between the health ports of one processor and the next.
_HEALTH_PORT_STEP = 10
# The settings of the local stack itself, in addition to its ports.
_OWN_SETTINGS = {"PROCESSORS", *service_settings.PROCESSOR_KEYS}
_NEVER_EMPTY = {"BASIC_AUTH_USERNAME", "BASIC_AUTH_PASSWORD"}
_HEALTH_PORTS = {"api": "API_PORT", "processor": "PROCESSOR_HEALTH_PORT", "uploader": "UPLOADER_HEALTH_PORT"}


@dataclass(frozen=True)
class LocalConfig:
    """The stack of one checkout. `given` is the environment, and `.env` for variables that are not set."""

    root: Path
    given: Mapping[str, str] = field(repr=False)
    ports: Mapping[str, int]

    @property
    def directory(self) -> Path:
        """The directory of everything that the stack keeps, apart from models and logs."""
        return self.root / ".local"

    @property
    def run_dir(self) -> Path:
        """The directory of files that matter only while the stack runs."""
        return self.directory / "run"

    @property
    def log_dir(self) -> Path:
        return self.root / self.given.get("LOG_DIR", "logs")

    def log_dir_of(self, service: str) -> Path:
        """Returns the log directory. Each further processor has its own, since all write `processor.log`."""
        return self.log_dir / service if number_of(service) > 1 else self.log_dir

    @property
    def runs_kafka(self) -> bool:
        """True if the stack starts a Kafka of its own."""
        return "KAFKA_BOOTSTRAP_SERVERS" not in self.given

    @property
    def runs_store(self) -> bool:
        """True if the stack starts a store of its own."""
        return "S3_ENDPOINT_URL" not in self.given

    @property
    def programs(self) -> tuple[str, ...]:
        """The servers and services in the order in which they start; they stop in the reverse order."""
        servers = (("kafka",) if self.runs_kafka else ()) + (("store",) if self.runs_store else ())
        return (*servers, *self.services)

    @property
    def services(self) -> tuple[str, ...]:
        """The services. The first processor is called `processor`, the next `processor-2`, and so on."""
        count = int(self.given.get("PROCESSORS", "1"))
        return ("api", "processor", *(f"processor-{n}" for n in range(2, count + 1)), "uploader")

    @property
    def has_demo(self) -> bool:
        """False if DEMO_PORT=0 turns the demo off; the services then do not trust the demo's origin."""
        return self.ports["DEMO_PORT"] != 0

    @property
    def supervised(self) -> tuple[str, ...]:
        """The programs, and the demo's host if there is one."""
        return (*self.programs, *((DEMO_HOST,) if self.has_demo else ()))

    @property
    def demo_dir(self) -> Path:
        """The directory for the demo's stems and callbacks."""
        return self.directory / "demo"

    @property
    def broker(self) -> BrokerSpec:
        """The stack's own Kafka."""
        cache = Path(self.given.get("UVR_CACHE_DIR") or self.directory / "cache")
        port, controller_port = self.ports["KAFKA_PORT"], self.ports["KAFKA_CONTROLLER_PORT"]
        return BrokerSpec(self.directory / "data" / "kafka", port, controller_port, cache)

    @property
    def store_dir(self) -> Path:
        """The data directory of the stack's own store."""
        return self.directory / "data" / "store"

    @property
    def store_url(self) -> str:
        return f"http://127.0.0.1:{self.ports['S3_PORT']}"

    @property
    def bucket(self) -> str:
        return self.given.get("S3_BUCKET_NAME") or _DEFAULT_BUCKET

    @property
    def demo_origin(self) -> str:
        """The origin of the demo's song and of its callback receiver."""
        return f"http://127.0.0.1:{self.ports['DEMO_PORT']}"

    @property
    def api_url(self) -> str:
        """The api's address as seen from this machine."""
        return f"http://{self._reachable('API_HOST')}:{self.ports['API_PORT']}"

    def health_url(self, service: str) -> str:
        """Returns the address of the service's /readyz."""
        host = self._reachable("API_HOST" if service == "api" else "HEALTH_HOST")
        return f"http://{host}:{self._health_port(service)}/readyz"

    def _health_port(self, service: str) -> int:
        kind, number = kind_of(service), number_of(service)
        return self.ports[_HEALTH_PORTS[kind]] + _HEALTH_PORT_STEP * (number - 1)

    def used_ports(self) -> dict[str, int]:
        """Returns the ports on which the running stack listens, by the setting that changes each."""
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
        """Returns the variables of the whole stack; program_environment.py selects those of each program."""
        env = dict(self.given)
        for name in service_settings.path_names() & env.keys():
            # Relative paths start at the checkout, in whichever directory `exec` runs a command.
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
        env |= {"PYTHONPATH": str(self.root), "PYTHONUNBUFFERED": "1"}
        trusted = [env.get("TRUSTED_URL_PREFIXES", ""), self.demo_origin if self.has_demo else ""]
        env["TRUSTED_URL_PREFIXES"] = ",".join(filter(None, trusted))
        if "BASIC_AUTH_USERS_FILE" not in env:  # the one user owns the stack
            env.setdefault("ADMIN_USERNAMES", env.get("BASIC_AUTH_USERNAME", "admin"))
        if self.has_demo:
            env = demo_host.song_settings(self.demo_origin) | env
        if model_name:
            env["MODEL_NAME"] = model_name
        if self.runs_kafka:
            env["KAFKA_BOOTSTRAP_SERVERS"] = self.broker.bootstrap
        if self.runs_store:
            env |= self._store_environment()
        return env

    def service_environment(self, service: str) -> dict[str, str]:
        """Returns the variables that have another value for each service: HEALTH_PORT."""
        return {"HEALTH_PORT": str(self._health_port(service))}

    def settings(self) -> dict[str, str]:
        """Returns the variables of `given` that the stack and its services read."""
        known = service_settings.names() | PORTS.keys() | _OWN_SETTINGS
        return {name: value for name, value in self.given.items() if name in known}

    def save(self) -> None:
        """Saves the settings for `running`, readable by the owner alone because of the passwords."""
        self.run_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_private(self._settings_file, json.dumps(self.settings()))

    def running(self) -> "LocalConfig":
        """Returns the stack with the settings of its last start, even if they have changed since."""
        if not (saved := read_json(self._settings_file)):
            return self
        others = {name: value for name, value in self.given.items() if name not in self.settings()}
        given = others | saved
        return LocalConfig(self.root, given, read_ports(given))

    @property
    def _settings_file(self) -> Path:
        return self.run_dir / "settings.json"

    def _reachable(self, name: str) -> str:
        """Returns the host that reaches, from this machine, a service listening on the setting `name`."""
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
            **dict.fromkeys(store.USER_FILES, os.devnull),
        }


def load(root: Path, environ: Mapping[str, str]) -> LocalConfig:
    """Loads the settings. Raises LocalError for an invalid `.env`, port or number of processors."""
    # An empty variable counts as unset, except an empty user or password, which the api rejects.
    every = {**env_file.read(root / ".env"), **environ}
    given = {name: value for name, value in every.items() if value or name in _NEVER_EMPTY}
    if "S3_ENDPOINT_URL" not in given:
        # They describe another store, and may refuse this one: AWS_PROFILE, AWS_USE_FIPS_ENDPOINT.
        given = {name: value for name, value in given.items() if not name.startswith("AWS_")}
    # A proxy of the environment cannot reach this machine's own addresses.
    for name in ("NO_PROXY", "no_proxy"):
        given[name] = ",".join(filter(None, (given.get(name, ""), "127.0.0.1", "localhost")))
    _check_processors(given)
    config = LocalConfig(root, given, read_ports(given))
    check_distinct(config.used_ports())
    return config


def kind_of(service: str) -> str:
    """Returns the kind of a service: `processor` for `processor-2`."""
    return service.partition("-")[0]


def number_of(service: str) -> int:
    """Returns the number of a service: 2 for `processor-2`, 1 for `processor`."""
    return int(service.partition("-")[2] or "1")


def _check_processors(given: Mapping[str, str]) -> None:
    text = given.get("PROCESSORS", "1")
    if not text.isdecimal() or not 1 <= int(text) <= _MAX_PROCESSORS:
        raise LocalError(f"PROCESSORS: expected a number from 1 to {_MAX_PROCESSORS} (got {text!r})")
