"""Shows and replays dead letters: `python -m common.deadletter`."""
