"""A service of the product that the fork server starts in place of `python -m`."""

import sys
from typing import IO

from tests.support.fork_server import Start, fork, server_for
from tests.support.processes import ManagedProcess, Started
from tests.support.processor import forked_children

# The soak's processors with faults are started so, and its uploaders too.
_FAULTY = "soak.faults"


class ForkedService(ManagedProcess):
    """A `python -m MODULE ARGUMENTS…` in the repository, with an environment of its own."""

    def _start(self, log: IO[bytes]) -> Started:
        python, option, module, *arguments = self.argv
        if (python, option) != (sys.executable, "-m"):  # a test has put another command before it
            return super()._start(log)
        assert self.env is not None
        is_processor = "processor" in module or module == _FAULTY
        children = forked_children.servers_below(self.env) if is_processor else {}
        start = Start(module, arguments, self.env, children=children)
        return fork(server_for(self.env).address, start, log.fileno())
