"""Batches: many songs submitted at once, their state together, and the order for their one callback."""
