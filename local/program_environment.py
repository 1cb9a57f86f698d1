"""Gives each program of the local stack its environment, without secrets that it does not need.

A hole in the decoder can read the processor's environment, so the processor has no password of the api's, no
key of the store's and no secret of the callbacks'. What the user's shell holds besides reaches no program,
unless it is listed here.
"""

import json
import socket
from collections.abc import Iterable, Mapping
from pathlib import Path

from common.settings.schema import ApiSettings, KafkaSettings, ProcessorSettings, UploaderSettings
from local import store
from local.config import LocalConfig, kind_of, number_of, setting_names
from local.leftovers import MARKER
from local.private_files import write_private

_SETTINGS: dict[str, type[KafkaSettings]] = {
    "api": ApiSettings,
    "processor": ProcessorSettings,
    "uploader": UploaderSettings,
}
# What any program may need of the machine that it runs on.
_MACHINE = {
    *("PATH", "HOME", "USER", "LOGNAME", "SHELL", "TMPDIR", "TZ", "LANG", "LANGUAGE", "LD_LIBRARY_PATH"),
    *("PYTHONPATH", "PYTHONUNBUFFERED", "UVR_CACHE_DIR", MARKER),
}
_MACHINE_PREFIXES = ("LC_", "XDG_", "MALLOC_")
_CERTIFICATES = {"SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"}
# Proxies can hold passwords: they are for who asks a hub for models, or a store that is elsewhere.
_PROXIES = {"HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"}
_COMPUTING_PREFIXES = (
    *("CUDA_", "CUDNN_", "CUBLAS_", "NVIDIA_", "NCCL_", "TORCH", "PYTORCH_", "ORT_"),
    *("OMP_", "GOMP_", "KMP_", "MKL_", "OPENBLAS_", "NUMEXPR_", "NUMBA_"),
)
_SERVERS = {
    "kafka": ("JAVA_TOOL_OPTIONS", "JDK_JAVA_OPTIONS"),
    "store": ("GOMAXPROCS", "GOMEMLIMIT", "GODEBUG"),
}


def machine_environment(everything: Mapping[str, str]) -> dict[str, str]:
    """What is no program's own: supervisord gets this, and hands it on."""
    return _chosen(everything, _MACHINE, _MACHINE_PREFIXES)


def of_program(config: LocalConfig, name: str, everything: Mapping[str, str]) -> dict[str, str]:
    """What program `name` needs of `everything` that the stack says."""
    kind = kind_of(name)
    least = machine_environment(everything)
    if kind in _SERVERS:
        return least | _chosen(everything, set(_SERVERS[kind]))
    if kind not in _SETTINGS:
        return least
    settings = setting_names((_SETTINGS[kind],)) - config.service_environment(name).keys()
    least |= _chosen(everything, settings | _CERTIFICATES)
    if kind in ("api", "uploader"):
        least |= _chosen(everything, (), ("AWS_",))
    if kind in ("processor", "uploader"):
        least |= _chosen(everything, _PROXIES)
    if kind == "processor":
        least |= _chosen(everything, (), _COMPUTING_PREFIXES) | _own_of_processor(config, name, everything)
    if kind == "api" and config.runs_store:
        keys = store.load_link_keys(config.store_dir)
        least |= {"AWS_ACCESS_KEY_ID": keys.access_key, "AWS_SECRET_ACCESS_KEY": keys.secret_key}
    return least


def write_all(config: LocalConfig, everything: Mapping[str, str]) -> None:
    """Leaves for each program's start what it gets (see local/launch.py)."""
    for name in config.supervised:
        write_private(file_of(config, name), json.dumps(of_program(config, name, everything)))


def file_of(config: LocalConfig, name: str) -> Path:
    return config.run_dir / "environment" / f"{name}.json"


def _own_of_processor(config: LocalConfig, name: str, everything: Mapping[str, str]) -> dict[str, str]:
    """Processors after the first have a name and a log of their own beside the first's."""
    if number_of(name) == 1:
        return {}
    worker_id = everything.get("WORKER_ID") or socket.gethostname()
    return {"WORKER_ID": f"{worker_id}-{number_of(name)}", "LOG_DIR": str(config.log_dir_of(name))}


def _chosen(
    everything: Mapping[str, str], names: Iterable[str], prefixes: tuple[str, ...] = ()
) -> dict[str, str]:
    """The variables of these names, whatever their case, since settings and proxies are read so."""
    wanted = frozenset(names)
    return {
        name: value
        for name, value in everything.items()
        if name.upper() in wanted or (prefixes and name.startswith(prefixes))
    }
