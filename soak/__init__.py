"""Hours of users and faults in minutes, and a check that nothing was lost: `python -m soak`."""
