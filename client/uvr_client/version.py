"""The version of the client: the services' own, repeated here because the client is installed alone."""

__version__ = "1.0.0"
