"""Fetches models of audio-separator's catalogue by the library's own code."""

import difflib
import json
import logging
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO, Protocol, cast

import requests

Download = Callable[[str, Path], None]

_LISTS_URL = "https://raw.githubusercontent.com/TRvlvr/application_data/main/filelists/download_checks.json"
# The first limits the connecting to each of a host's addresses in turn.
_CONNECT_TIMEOUT_S, _READ_TIMEOUT_S = 3, 15
_BLOCK_BYTES = 1 << 20
_PROGRESS_INTERVAL_S = 2.0


class HubError(Exception):
    """The model cannot be fetched from the catalogue; the message says why."""


def http_download(url: str, target: Path) -> None:
    """Download `url` to `target`, with progress on standard error. Raises HubError and OSError."""
    try:
        with requests.get(url, stream=True, timeout=(_CONNECT_TIMEOUT_S, _READ_TIMEOUT_S)) as response:
            if response.status_code != 200:
                raise HubError(f"{url} answered HTTP {response.status_code}")
            size = int(response.headers.get("Content-Length", 0))
            with target.open("wb") as file:
                _copy(response, file, target.name, size)
    except requests.RequestException as error:
        raise HubError(f"no network to {url}: {_reason(error)}") from None


def fetch(name: str, directory: Path, download: Download) -> None:
    """Put the model's files and the catalogue's data files into `directory`. Raises HubError and OSError."""
    # Download first: importing the library takes seconds, which are wasted without a network.
    download(_LISTS_URL, directory / "download_checks.json")
    hub = _hub(directory, download)
    try:
        architecture, filename = _resolve(hub.list_supported_model_files(), name)
        hub.download_model_files(filename)
        if architecture in ("MDX", "VR"):
            hub.load_model_data_using_hash(str(directory / filename))
    except json.JSONDecodeError as error:
        raise HubError(
            f"the catalogue that was downloaded is not JSON ({error}): it may be a proxy's page"
        ) from None
    except (AttributeError, TypeError) as error:
        raise HubError(
            f"the catalogue that was downloaded has another form ({error}): it may be a proxy's answer"
        ) from None
    except (KeyError, ValueError, RuntimeError, FileNotFoundError) as error:
        raise HubError(str(error)) from None


class _LibraryHub(Protocol):
    """The methods of the library's `Separator` that fetch models."""

    def list_supported_model_files(self) -> dict[str, dict[str, Any]]: ...

    def download_model_files(self, filename: str) -> object: ...

    def load_model_data_using_hash(self, path: str) -> object: ...


def _hub(directory: Path, download: Download) -> _LibraryHub:
    from processor.models import lazy_imports

    lazy_imports.postpone("onnx", "onnx2torch", "scipy.signal")
    from audio_separator.separator import Separator

    class Hub(Separator):  # type: ignore[misc]  # the library has no types
        def download_file_if_not_exists(self, url: str, output_path: str) -> None:
            # The library's own method has a timeout of 300 s and takes a partial file for a whole one.
            if os.path.exists(output_path):
                return
            try:
                download(url, Path(output_path))
            except HubError as error:
                Path(output_path).unlink(missing_ok=True)
                # RuntimeError makes the library try its second address.
                raise RuntimeError(str(error)) from None

    hub = Hub(log_level=logging.WARNING, output_dir=str(directory), info_only=True)
    hub.model_file_dir = str(directory)  # the environment overrides the constructor's argument
    return cast(_LibraryHub, hub)


def _resolve(supported: dict[str, dict[str, Any]], name: str) -> tuple[str, str]:
    """Return the model's architecture and its file name in the library. Raises HubError."""
    known = [(arch, model["filename"]) for arch, models in supported.items() for model in models.values()]
    for architecture, filename in known:
        if name in (filename, Path(filename).stem):
            return architecture, filename
    near = difflib.get_close_matches(name, [Path(filename).stem for _, filename in known], n=3)
    hint = f"; similar names: {', '.join(dict.fromkeys(near))}" if near else ""
    raise HubError(f"the catalogue has no such model{hint}")


def _copy(response: requests.Response, file: BinaryIO, name: str, size_bytes: int) -> None:
    done, last_s = 0, time.monotonic()
    for block in response.iter_content(_BLOCK_BYTES):
        file.write(block)
        done += len(block)
        if time.monotonic() - last_s >= _PROGRESS_INTERVAL_S or done == size_bytes:
            last_s = time.monotonic()
            share = f" ({done / size_bytes:.0%})" if size_bytes else ""
            print(f"{name}: {done / 1e6:.1f} MB{share}", file=sys.stderr, flush=True)
    if size_bytes and done != size_bytes:
        raise HubError(f"{name} ended after {done} of {size_bytes} bytes")


def _reason(error: requests.RequestException) -> str:
    cause = error.args[0] if error.args else error
    return str(getattr(cause, "reason", cause)).rpartition(">: ")[2]
