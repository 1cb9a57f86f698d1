"""The code that the services share. Imports go one way only: see `[tool.importlinter]` in pyproject.toml."""

__version__ = "1.0.0"
"""The version of all services. client/ is installed alone and repeats the number in its own `version.py`."""
