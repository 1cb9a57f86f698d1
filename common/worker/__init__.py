"""Runs the worker loop: polls, runs jobs on threads, and commits their outcomes in transactions."""
