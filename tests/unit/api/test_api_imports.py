"""The light services start without what only the processor has, the client without anything of ours."""

import subprocess
import sys

import pytest

_SERVERS_ONLY = ("fastapi", "kafka", "uvicorn")
_PROCESSOR_ONLY = ("torch", "onnxruntime", "audio_separator", "numpy", "av", "librosa")
_UPLOADER_ONLY = ("requests", "boto3", "botocore")
_SERVICES = ("kafka", "fastapi", "uvicorn", "pydantic_settings", "api", "common", "processor", "uploader")
_NOT_THE_CLIENTS = _PROCESSOR_ONLY + _UPLOADER_ONLY + _SERVICES

# An import of one of these fails as it does where it is not installed.
_REFUSING = """
import importlib, sys
class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {refused!r}:
            raise ModuleNotFoundError("refused: " + name, name=name)
sys.meta_path.insert(0, Refuse())
sys.path.insert(0, "client")
importlib.import_module({module!r})
"""


def start(module: str, refused: tuple[str, ...]) -> subprocess.CompletedProcess[str]:
    program = _REFUSING.format(refused=set(refused), module=module)
    return subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120)


@pytest.mark.parametrize(
    ("module", "refused"),
    [
        # Each imports the rest of its service.
        ("api.run", _PROCESSOR_ONLY + _UPLOADER_ONLY),
        ("uploader.run", _PROCESSOR_ONLY),
        # Commands of the api, which are to be quick.
        ("api.__main__", _SERVERS_ONLY),
        ("api.auth.hash_password", _SERVERS_ONLY),
        ("api.auth.keys_command", _SERVERS_ONLY),
        ("uvr_client", (*_NOT_THE_CLIENTS, "typer", "rich")),
        ("uvr_client.command", _NOT_THE_CLIENTS),
    ],
)
def test_it_starts_without(module, refused):
    done = start(module, refused)
    assert done.returncode == 0, done.stderr


def test_the_refusal_is_real():
    assert "refused: json" in start("json", ("json",)).stderr
