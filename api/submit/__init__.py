"""What a submission must be, and whether it becomes a task."""
