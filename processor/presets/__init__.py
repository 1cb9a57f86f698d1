"""Turns a user's choices into steps of models, and works through the steps."""
