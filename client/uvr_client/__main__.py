"""`python -m uvr_client`: the command `uvr` where it is not installed."""

from uvr_client.command import app

app(prog_name="uvr")
