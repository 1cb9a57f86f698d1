"""Defines the command `uvr submit`."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any
from uuid import UUID

import typer

from uvr_client import exits, options
from uvr_client.client import UvrClient
from uvr_client.errors import UvrError
from uvr_client.exits import Exit
from uvr_client.models import Submission
from uvr_client.options import number_or_text, numbers, pairs, parts
from uvr_client.output import Output
from uvr_client.session import each, end
from uvr_client.upload_progress import upload_bar
from uvr_client.watching import TaskWatcher


def submit(
    context: typer.Context,
    urls: options.SongUrls,
    hook: options.Hook = None,
    wait: options.Wait = False,
    download: options.Download = None,
    idempotency_key: options.Key = None,
    cancel_after: options.CancelAfter = None,
    preset: options.Preset = None,
    model: options.Model = None,
    models: options.Models = None,
    ensemble: options.EnsembleOf = None,
    weights: options.Weights = None,
    stems: options.Stems = None,
    output_format: options.OutputFormat = None,
    bit_depth: options.BitDepth = None,
    sample_rate: options.SampleRate = None,
    bitrate: options.BitRate = None,
    normalize: options.Normalize = None,
    tags: options.Tags = None,
    start: options.Start = None,
    duration: options.Duration = None,
    label: options.Label = None,
    meta: options.Meta = None,
    refresh: options.Refresh = False,
    priority: options.Priority = None,
    as_json: options.Json = False,
) -> None:
    """Submit songs and print the ids of their tasks. --download implies --wait.

    Without a choice of your own, models and output are the operator's.
    """
    options.check_key(idempotency_key, urls)
    models_given = {"preset": preset, "model": model, "models": parts(models), "ensemble": ensemble}
    part = {"weights": numbers(weights), "stems": parts(stems), "start_s": start, "duration_s": duration}
    files = {"format": output_format, "bit_depth": bit_depth, "sample_rate": number_or_text(sample_rate)}
    sound = {"bitrate_kbps": bitrate, "normalize": normalize, "tags": tags}
    named = {"label": label, "metadata": pairs(meta), "cache": "refresh" if refresh else None}
    chosen: dict[str, Any] = {**models_given, **part, **files, **sound, **named, "priority": priority}
    output = Output(as_json)
    submitter = _Submitter(output, wait or download is not None)
    with context.obj.client(output) as client:
        chosen |= {"hook_url": hook, "idempotency_key": idempotency_key, "cancel_after_s": cancel_after}
        codes = submitter.submit_all(urls, partial(_submit_one, client, output, chosen))
        if submitter.waits:
            codes += TaskWatcher(client, output, download, submitter.submissions).run(submitter.submissions)
    end(*codes)


def _submit_one(client: UvrClient, output: Output, chosen: dict[str, Any], audio: str) -> Submission:
    with upload_bar(output, audio) as on_progress:
        return client.submit(audio, on_progress=on_progress, **chosen)


class _Submitter:
    """Submits songs and prints the ids of their tasks: as results, or as messages where the command `waits`.

    `submissions` has the fields of each task that the api does not tell.
    """

    def __init__(self, output: Output, waits: bool):
        self._output, self.waits = output, waits
        self.submissions: dict[UUID, dict[str, Any]] = {}

    def submit_all(self, urls: Sequence[str], submit_one: Callable[[str], Submission]) -> list[Exit]:
        """Submits one URL after another, up to an error that the next URL would meet too.

        Returns the exit codes. Tasks that are queued by then are still waited for.
        """
        tried = 0

        def submit_next(audio: str) -> None:
            nonlocal tried
            tried += 1
            self._tell(audio, submit_one(audio))

        try:
            return each(urls, self._output, submit_next)
        except UvrError as error:
            self._output.error(error, urls[tried - 1])
            self._tell_left(urls[tried:])
            return [exits.of_error(error)]
        except BrokenPipeError:
            self._tell_left(urls[tried:])
            raise

    def _tell_left(self, urls: Sequence[str]) -> None:
        if urls:
            self._output.say(f"not submitted because of this error: {' '.join(urls)}")

    def _tell(self, audio: str, submission: Submission) -> None:
        task_uuid, output = submission.task_uuid, self._output
        self.submissions[task_uuid] = {"audio": audio, "idempotency_key": submission.idempotency_key}
        if self.waits:
            output.say(f"{task_uuid} queued: {audio}")
        else:
            value = {"audio": audio, **submission.model_dump(mode="json")}
            output.made(value, str(task_uuid), f"queued as {task_uuid}")
        if submission.ignored:
            ignored = ", ".join(submission.ignored)
            output.say(f"{task_uuid}: the api is older than this command and ignored {ignored}")
