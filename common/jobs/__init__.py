"""Gives the author of a service all he needs: handler, outcomes, retries, places and dead letters."""
