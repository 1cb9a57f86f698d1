"""`python -m uvr_client` runs the command `uvr` where no such command is installed."""

from uvr_client.command import app

if __name__ == "__main__":
    app(prog_name="uvr")
