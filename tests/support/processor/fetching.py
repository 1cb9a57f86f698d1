"""Fetches a model from a directory that plays the model hub, in a process of its own.

    python -m tests.support.processor.fetching NAME MODEL_DIR HUB_DIR

Prints the name of each file as it begins to come, which takes a moment.
"""

import sys
import time
from pathlib import Path

from processor.models import hub, model_files

# Enough for another process to come in between.
_PAUSE_S = 0.3


def main(name: str, model_dir: str, hub_dir: str) -> None:
    def download(url: str, target: Path) -> None:
        filename = url.rpartition("/")[2]
        # Both data files have one name at the hub.
        source = Path(hub_dir) / (
            url.split("/")[-2] + ".json" if filename == "model_data_new.json" else filename
        )
        if not source.exists():
            raise hub.HubError(f"{url} answered HTTP 404")
        data = source.read_bytes()
        print(filename, flush=True)
        with target.open("wb") as file:
            file.write(data[: len(data) // 2])
            file.flush()
            time.sleep(_PAUSE_S)
            file.write(data[len(data) // 2 :])

    model_files.ensure(name, Path(model_dir), fetch=True, download=download)


if __name__ == "__main__":
    main(*sys.argv[1:])
