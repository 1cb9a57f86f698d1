"""Secrets that stand in files."""

from pathlib import Path


def read_secret(name: str, path: Path) -> str:
    """The file's text without its last line end. Raises ValueError, with the setting's `name` in it."""
    try:
        text = path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        why = (isinstance(error, OSError) and error.strerror) or "it is not UTF-8"
        raise ValueError(f"{name}: {path} cannot be read: {why}") from None
    secret = text.removesuffix("\n").removesuffix("\r")
    if not secret:
        raise ValueError(f"{name}: {path} is empty")
    return secret


def with_secrets_from_files(fields, values):
    """Each secret NAME may be given as NAME_FILE, as official images do it; compose mounts such files."""
    read = {}
    for name in fields:
        file = values.get(f"{name}_file")
        if file and f"{name}_file" in fields:
            if name in values:
                raise ValueError(f"{name.upper()} and {name.upper()}_FILE are both set: expected one of them")
            read[name] = read_secret(f"{name.upper()}_FILE", Path(file))
    return values | read
