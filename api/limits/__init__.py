"""What each user may do: the operator's rules, and what is left of a user's limits."""
