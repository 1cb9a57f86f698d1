"""Runs `python -m common.deadletter list|show|replay`.

Exit codes: 0 done, 1 nothing could be done, 2 wrong usage, 64 wrong settings, 69 Kafka cannot be reached,
75 another replay has taken over.
"""

import io
import shutil
import sys

from kafka.errors import KafkaError

from common.deadletter import commands
from common.deadletter.replayer import Overtaken
from common.kafka import clients
from common.settings import command_line
from common.settings.loading import load_or_exit
from common.settings.schema import CommandSettings

EXIT_UNAVAILABLE = 69
EXIT_OVERTAKEN = 75


def main() -> int:
    options = commands.parser().parse_args()
    settings = load_or_exit(CommandSettings)
    clients.tell_brokers(settings)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")
    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
    try:
        exit_code: int = options.run(options, settings, commands.Console(sys.stdout, width))
    except KafkaError as error:
        print(f"Kafka at {settings.kafka_bootstrap_servers}: {error}", file=sys.stderr)
        return EXIT_UNAVAILABLE
    except Overtaken as error:
        print(f"{error}", file=sys.stderr)
        return EXIT_OVERTAKEN
    return exit_code


if __name__ == "__main__":
    sys.exit(command_line.run(main))
