"""What the local stack cannot do, in one line that says what to do about it."""


class LocalError(Exception):
    """The local stack cannot do what was asked."""
