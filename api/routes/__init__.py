"""A file for each group of routes."""
