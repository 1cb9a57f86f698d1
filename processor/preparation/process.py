"""Installs a model in a process of its own, because preparing one takes more memory than a job.

Sends {"event": "progress", "detail": …} at each step, then {"event": "done", "model": …} or
{"event": "failed", "reason": …}. Progress may have "warning": true, or the path of a decision that is made
from then on as "decision".
"""

import logging
import sys
from pathlib import Path
from typing import cast

from processor import child_process
from processor.child_process import JsonObject
from processor.models import model_files
from processor.models.model_files import ModelFiles
from processor.preparation.decision import Decision, RequestedPrecision
from processor.separation import known_stems
from processor.separation.device import Requested


def main(arguments: list[str]) -> None:
    """Fetch or make one model, and prepare it for the device. Only a missing model is a failure."""
    channel, (name, directory, device, precision) = child_process.attach(arguments)
    child_process.serve(channel, lambda message: None)
    logging.basicConfig(level="WARNING", format="%(asctime)s %(levelname)s preparation: %(message)s")

    def report(step: str) -> None:
        channel.send({"event": "progress", "detail": step})

    def begin(path: Path) -> None:
        channel.send({"event": "progress", "detail": f"preparing {name}", "decision": str(path)})

    try:
        files = model_files.ensure(name, Path(directory), fetch=True)
    except model_files.ModelUnavailable as error:
        channel.send({"event": "failed", "reason": str(error)})
        return
    made = None
    try:
        # Import it after the model is here: the import takes seconds.
        from processor.preparation import advice, decision, installation

        made = installation.prepare(
            files, cast(Requested, device), cast(RequestedPrecision, precision), report, begin
        )
        if not made.is_finished:
            slow = f"the model {name} works, but may be slow: {decision.unfinished(name)}"
            channel.send({"event": "progress", "detail": slow, "warning": True})
        if advised := advice.better_model(files, made):
            report(advised)
    except Exception as error:
        logging.getLogger(__name__).warning(
            "%s could not be prepared for this device: mend the cause, then run "
            "`python -m processor models prepare %s`", name, name, exc_info=error,
        )  # fmt: skip
    channel.send({"event": "done", "model": _describe(files, made)})


def _describe(files: ModelFiles, made: Decision | None) -> JsonObject:
    """Return what processor.engine.protocol.Installed holds, without the name."""
    return {
        "architecture": files.architecture,
        "stems": (made.stems if made else ()) or known_stems.of(files),
        "sha256": files.sha256,
        "rest_sha256": files.rest_sha256,
        "runtime": made.runtime if made else None,
        "precision": made.precision if made else None,
        "speed": made.times_real_time if made else None,
        "machine": made.machine if made else None,
    }


if __name__ == "__main__":
    main(sys.argv[1:])
