"""Holds how long the threads of a worker wait for each other, and how often those that wait look again."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Pace:
    """All fields are in seconds."""

    # how often a job that waits for its slot asks for it
    slot_tick_s: float = 0.05
    # A receiver that answers at once has its places free again within this time. Without the wait the record
    # would be begun anew, which costs two transactions.
    place_patience_s: float = 0.5
    # While all slots are taken, urgent records are looked for this often. Each look takes up to
    # SHORTEST_POLL_MS, in which no job can begin.
    look_every_s: float = 0.1
    # how often a job that waits for its transaction looks whether its lease holds
    commit_tick_s: float = 0.25
    # A job whose lease has ended still hears of a transaction that is all but committed.
    lost_grace_s: float = 1.0
    # the pause after a batch's first failure; after later ones it is longer, up to `commit_last_backoff_s`
    commit_backoff_s: float = 0.05
    commit_last_backoff_s: float = 1.0
    # how long the committer may take at the worker's end
    committer_stop_s: float = 2.0
    # how long jobs may take to end once they were cancelled at the worker's end
    cancel_grace_s: float = 5.0
    # the pause before a consumer that broke is replaced, and between the tries to make one
    rebuild_s: float = 0.3
    connect_again_s: float = 1.0


PACE = Pace()
