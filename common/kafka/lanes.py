"""The names of the lanes' topics. A lane is a topic of its own for the tasks of one priority."""

# The lane of tasks that say nothing: its topic has the base topic's own name.
DEFAULT_PRIORITY = 3
LOWEST, HIGHEST = 1, 5
PRIORITIES = range(LOWEST, HIGHEST + 1)
# While all lanes have records, each gets starts as its weight: 16, 8, 4, 2 and 1 of 31.
WEIGHTS = {priority: 1 << (priority - 1) for priority in PRIORITIES}


def topic(base: str, priority: int) -> str:
    """Return the topic of one lane, such as uvr_tasks_p5."""
    return base if priority == DEFAULT_PRIORITY else f"{base}_p{priority}"


def topics(base: str) -> tuple[str, ...]:
    """Return the topics of all lanes, `base` first, then the most urgent first."""
    others = (priority for priority in reversed(PRIORITIES) if priority != DEFAULT_PRIORITY)
    return base, *(topic(base, priority) for priority in others)
