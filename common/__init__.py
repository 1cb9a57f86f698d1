"""The code that the services share. Imports go one way: see `[tool.importlinter]` in pyproject.toml."""
