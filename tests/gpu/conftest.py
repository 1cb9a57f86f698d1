"""These run when they are asked for alone: `python -m pytest tests/gpu`."""

from pathlib import Path

import pytest

_HERE = Path(__file__).resolve().parent


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    asked = [Path(config.invocation_params.dir, argument.partition("::")[0]) for argument in config.args]
    if any(path.resolve() == _HERE or _HERE in path.resolve().parents for path in asked):
        return None
    return True


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    # This hook is given the whole session's tests, whatever directory its file is in.
    ours = [item for item in items if _HERE in item.path.parents]
    if ours and (reason := _no_gpu()):
        for item in ours:
            item.add_marker(pytest.mark.skip(reason=reason))


def _no_gpu() -> str | None:
    import torch

    if torch.version.cuda is None:
        return "the installed torch has no CUDA"
    return None if torch.cuda.is_available() else "torch sees no CUDA device"
