"""What the services share. Imports go one way only: see `[tool.importlinter]` in pyproject.toml."""
