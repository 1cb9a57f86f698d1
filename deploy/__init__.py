"""Runs the services inside containers, checks their health, and prepares the compose store."""
