"""Holds users to the operator's rules, and says what is left of their limits."""
