"""Holds, probes and prepares containers, and keeps the files that operators need for monitoring."""
