"""The client's own version, apart from the services'."""

__version__ = "1.0.0"
