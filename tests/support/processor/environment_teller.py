"""A child process that sends its environment.

processor.child_process.spawn("tests.support.processor.environment_teller", [])
"""

import os
import sys

from processor import child_process

if __name__ == "__main__":
    channel, _ = child_process.attach(sys.argv[1:])
    channel.send(dict(os.environ))
