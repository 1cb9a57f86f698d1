"""Writes ETags in one way: a store may give the same one with quotes in a header and without them in XML."""


def strong(etag: str) -> str:
    """Returns `etag` in quotes, without the mark of a weak one: proxies add it where they compress."""
    bare = etag.strip().removeprefix("W/").strip('"')
    return f'"{bare}"'
