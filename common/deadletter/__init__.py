"""Dead letters, shown and replayed: `python -m common.deadletter`."""
