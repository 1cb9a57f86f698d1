"""The worker loop: it polls, runs jobs on threads, and commits their outcomes in transactions."""
