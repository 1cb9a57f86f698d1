"""A process that owns an engine, for tests that kill it.

    python -m tests.support.processor.engine_host MODEL_DIR SOURCE TARGET_DIR

Prints the engine's process id as soon as there is one, `ready` once it is, and `separating` when a job runs.
"""

import sys
import time
from pathlib import Path

from processor.engine.engine import Engine
from processor.engine.protocol import EngineConfig


def main(model_dir: str, source: str, target_dir: str) -> None:
    engine = Engine(EngineConfig("centre", Path(model_dir), device="cpu", fetch_model=False))
    engine.start()
    while engine.pid is None:
        time.sleep(0.001)
    print(engine.pid, flush=True)
    print("ready" if engine.wait_ready(120).ok else engine.state().detail, flush=True)
    engine.separate(
        Path(source), Path(target_dir), lambda: None, lambda fraction: print("separating", flush=True)
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
