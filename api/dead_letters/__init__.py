"""Dead letters for administrators: reads and replays them by the command's own code."""
