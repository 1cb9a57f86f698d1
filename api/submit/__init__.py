"""Checks submissions, and decides whether they become tasks."""
