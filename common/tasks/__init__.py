"""Passes on what concerns tasks between the services: messages, cancels and statuses."""
