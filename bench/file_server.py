"""Serves the files of a directory as fast as the kernel can: `python -m bench.file_server DIRECTORY`

Prints its port. Runs in a process of its own, so that it takes no time from the measured client.
"""

import http.server
import os
import sys
from functools import partial


class _Handler(http.server.SimpleHTTPRequestHandler):
    def copyfile(self, source, outputfile) -> None:
        self.wfile.flush()
        offset = 0
        while sent := os.sendfile(self.connection.fileno(), source.fileno(), offset, 1 << 24):
            offset += sent

    def log_message(self, *arguments) -> None:
        pass


def main(directory: str) -> None:
    handler = partial(_Handler, directory=directory)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        print(server.server_port, flush=True)
        server.serve_forever()


if __name__ == "__main__":
    main(sys.argv[1])
