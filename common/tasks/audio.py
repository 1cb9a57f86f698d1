"""Tells of a task's song what others may see."""

from common.outbound.addresses import without_secrets
from common.tasks.messages.task import upload_id_of


def shown_audio(audio: str) -> str | None:
    """Returns the song as logs, statuses and results name it: an upload, or the address without secrets.

    Returns None for any other text.
    """
    try:
        return without_secrets(audio) if upload_id_of(audio) is None else audio
    except ValueError:
        return None
