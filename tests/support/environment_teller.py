"""A child process that sends its environment.

processor.child.spawn("tests.support.environment_teller", [])
"""

import os
import sys

from processor import child

if __name__ == "__main__":
    link, _ = child.attach(sys.argv[1:])
    link.send(dict(os.environ))
