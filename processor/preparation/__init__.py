"""Prepares an installed model for this machine: converts its networks, and chooses runtime and precision."""
