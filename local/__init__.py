"""Runs the local stack: every service on this machine, without Docker."""
