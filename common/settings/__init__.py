"""Reads and validates settings from the environment, and begins and ends commands."""
