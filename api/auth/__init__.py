"""Finds out who sends a request: users, their passwords, and the price of wrong ones."""
