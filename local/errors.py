"""Defines the error of the local stack."""


class LocalError(Exception):
    """The local stack cannot do what was asked. The message says in one line why, and what to do."""
