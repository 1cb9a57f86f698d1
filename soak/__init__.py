"""Runs hours of users and faults in minutes, and checks that nothing was lost: `python -m soak`."""
