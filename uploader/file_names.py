"""Names stems for people: the label or the song's file name, and the stem, in Content-Disposition."""

from common.storage.file_names import attachment, stem_file_name
from common.tasks.messages import Separated


def content_disposition(result: Separated, stem: str, extension: str) -> str:
    """Returns the header by which browsers save the stem as `Artist - Title (vocals).flac`.

    The result's label gives the name, or else its song's file name: an uploaded file's own, or the last part
    of the address. `extension` comes without its dot. The header is ASCII after RFC 6266, with the full name
    after RFC 8187.
    """
    return attachment(stem_file_name(result, stem, extension))
