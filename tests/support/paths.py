"""Paths in the checkout, wherever a test's own file lies."""

from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
TLS = REPOSITORY / "tests" / "support" / "tls"
