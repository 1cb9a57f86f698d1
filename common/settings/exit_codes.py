"""The exit codes after which supervisors do not restart a process, since it would end in the same way."""

EXIT_BAD_SETTINGS = 64
"""A setting is missing or wrong."""
EXIT_FENCED = 65
"""Another worker has this one's WORKER_ID."""
