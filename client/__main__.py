"""`python -m client`: the command `uvr` where it is not installed."""

from client.command import app

app(prog_name="uvr")
