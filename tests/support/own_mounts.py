"""A command in which mounts can be made that nobody else sees and that end with it."""

import os

# Before the words of the command. A user who is not root becomes the root of a namespace.
OWN_MOUNTS = ("unshare", *(() if os.geteuid() == 0 else ("--map-root-user",)), "--mount")
