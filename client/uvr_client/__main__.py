"""`python -m uvr_client` runs the command `uvr` where no such command is installed."""

from uvr_client.command import app

app(prog_name="uvr")
