"""Names the files by which a service's container tells its health check what has happened.

The health check starts every minute in each container, so this module imports nothing that takes long.
"""

import os


def state_file(name: str) -> str:
    """Returns a file in the container's temporary directory that deploy.hold and deploy.probe share."""
    return os.path.join(os.environ.get("TMPDIR") or "/tmp", f"uvr-{name}")
