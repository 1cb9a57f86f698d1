"""The network addresses that traced processes turn to, by strace.

A look-up of a name is one too: it turns to port 53 of the machine's name server.
"""

import re
from pathlib import Path

_CALLS = "connect,sendto,sendmsg,sendmmsg"
_V4 = re.compile(r'htons\((\d+)\), sin_addr=inet_addr\("([^"]+)"\)')
_V6 = re.compile(r'htons\((\d+)\),.*?inet_pton\(AF_INET6, "([^"]+)"')


def wrapper(log_file: Path) -> tuple[str, ...]:
    """The command that traces its argument and all children of it into `log_file`.

    With -D the process id is the traced program's own, so that signals reach the program.
    """
    return ("strace", "-D", "-f", "-qq", "--seccomp-bpf", "-e", f"trace={_CALLS}", "-o", str(log_file))


def addresses(log_file: Path) -> set[tuple[str, int]]:
    """Every address and port that a call named, whether or not it could be reached."""
    text = log_file.read_text(errors="replace")
    return {(address, int(port)) for port, address in (*_V4.findall(text), *_V6.findall(text))}
