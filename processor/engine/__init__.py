"""The warm process that separates: lent to one job at a time, restarted when it ends."""
