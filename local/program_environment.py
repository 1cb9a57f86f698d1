"""Gives each program of the local stack its environment, without secrets that it does not need.

An exploit of the decoder could read the processor's environment. So the processor has neither the api's
password nor the callbacks' secret, and keys of its own to the store, which can do little: in a store
elsewhere those of PROCESSOR_AWS_ACCESS_KEY_ID. A variable of the user's shell reaches a program only if it is
listed here.
"""

import json
import socket
from collections.abc import Iterable, Mapping
from pathlib import Path

from local import service_settings, store
from local.config import LocalConfig, kind_of, number_of
from local.leftovers import MARKER
from local.private_files import write_private

# Every program may need these variables, which describe the machine.
_MACHINE = {
    *("PATH", "HOME", "USER", "LOGNAME", "SHELL", "TMPDIR", "TZ", "LANG", "LANGUAGE", "LD_LIBRARY_PATH"),
    *("PYTHONPATH", "PYTHONUNBUFFERED", "UVR_CACHE_DIR", MARKER),
}
_MACHINE_PREFIXES = ("LC_", "XDG_", "MALLOC_")
_CERTIFICATES = {"SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"}
# Proxies can hold passwords: only the processor (models) and the uploader (a store elsewhere) need them.
_PROXIES = {"HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"}
_COMPUTING_PREFIXES = (
    *("CUDA_", "CUDNN_", "CUBLAS_", "NVIDIA_", "NCCL_", "TORCH", "PYTORCH_", "ORT_"),
    *("OMP_", "GOMP_", "KMP_", "MKL_", "OPENBLAS_", "NUMEXPR_", "NUMBA_"),
)
_SERVERS = {
    "kafka": ("JAVA_TOOL_OPTIONS", "JDK_JAVA_OPTIONS"),
    "store": ("GOMAXPROCS", "GOMEMLIMIT", "GODEBUG"),
}
_KEYS_OF = {"api": store.load_api_keys, "processor": store.load_processor_keys}


def machine_environment(everything: Mapping[str, str]) -> dict[str, str]:
    """Returns the variables that every program gets; supervisord has no others."""
    return _chosen(everything, _MACHINE, _MACHINE_PREFIXES)


def of_program(config: LocalConfig, name: str, everything: Mapping[str, str]) -> dict[str, str]:
    """Returns the variables of `everything` that the program `name` needs."""
    kind = kind_of(name)
    least = machine_environment(everything)
    if kind in _SERVERS:
        return least | _chosen(everything, set(_SERVERS[kind]))
    if kind not in service_settings.KINDS:
        return least
    settings = service_settings.names(kind) - config.service_environment(name).keys()
    if kind == "processor":
        settings -= set(service_settings.PROCESSOR_KEYS.values())
    least |= _chosen(everything, settings | _CERTIFICATES)
    if kind in ("api", "uploader"):
        least |= _chosen(everything, (), ("AWS_",))
    if kind in ("processor", "uploader"):
        least |= _chosen(everything, _PROXIES)
    if kind == "processor":
        least |= _chosen(everything, (), _COMPUTING_PREFIXES) | _own_of_processor(config, name, everything)
    if config.runs_store and kind in _KEYS_OF:
        keys = _KEYS_OF[kind](config.store_dir)
        least |= {"AWS_ACCESS_KEY_ID": keys.access_key, "AWS_SECRET_ACCESS_KEY": keys.secret_key}
        least |= _chosen(everything, store.USER_FILES)
    elif kind == "processor":
        least |= _given_to_processors(config)
    return least


def write_all(config: LocalConfig, everything: Mapping[str, str]) -> None:
    """Writes each program's environment to the file that local/launch.py reads."""
    for name in config.supervised:
        write_private(file_of(config, name), json.dumps(of_program(config, name, everything)))


def file_of(config: LocalConfig, name: str) -> Path:
    """Returns the file with the program's environment."""
    return config.run_dir / "environment" / f"{name}.json"


def _given_to_processors(config: LocalConfig) -> dict[str, str]:
    """Returns the processors' keys to a store elsewhere, by the names that boto3 and our settings know."""
    names = service_settings.PROCESSOR_KEYS
    found = {name: config.given[given] for given, name in names.items() if given in config.given}
    files = {name: str(config.root / file) for name, file in found.items() if name.endswith("_FILE")}
    return found | files


def _own_of_processor(config: LocalConfig, name: str, everything: Mapping[str, str]) -> dict[str, str]:
    """Returns the worker id and log directory of each processor after the first."""
    if number_of(name) == 1:
        return {}
    worker_id = everything.get("WORKER_ID") or socket.gethostname()
    return {"WORKER_ID": f"{worker_id}-{number_of(name)}", "LOG_DIR": str(config.log_dir_of(name))}


def _chosen(
    everything: Mapping[str, str], names: Iterable[str], prefixes: tuple[str, ...] = ()
) -> dict[str, str]:
    """Returns the variables with these names, in upper or lower case, or with these prefixes."""
    wanted = frozenset(names)
    return {
        name: value
        for name, value in everything.items()
        if name.upper() in wanted or (prefixes and name.startswith(prefixes))
    }
