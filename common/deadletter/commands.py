"""The commands list, show and replay: parses their arguments, runs them and prints the results."""

import argparse
import re
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TextIO
from uuid import UUID

from common.deadletter import text
from common.deadletter.dead_letter import LetterId
from common.deadletter.plan import Filter, Outdone, Refused, Replay, Replayed
from common.deadletter.replays import Outcome, read, replay
from common.settings.schema import TransactionSettings

_UNITS_S = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
_EPILOG = "TIME is a duration back from now (90m, 2h, 3d) or an ISO time, UTC unless it says otherwise."

EXIT_OK = 0
EXIT_NOTHING_DONE = 1


@dataclass(frozen=True)
class Console:
    """Prints a command's lines. `width` is the terminal's, in characters; None if it is no terminal."""

    out: TextIO
    width: int | None

    def print(self, line: str) -> None:
        print(line, file=self.out, flush=True)


def parser() -> argparse.ArgumentParser:
    """Makes the parser. The options that it returns have `run(options, settings, console) -> exit code`."""
    whole = argparse.ArgumentParser(
        prog="python -m common.deadletter", description="Shows and replays the records that were given up."
    )
    commands = whole.add_subparsers(dest="command", required=True)

    listing = commands.add_parser("list", help="the letters, newest first", epilog=_EPILOG)
    _add_filters(listing)
    listing.add_argument("--code", help="only letters with this error code")
    listing.add_argument("--all", action="store_true", help="also letters that were replayed")
    listing.add_argument("--json", action="store_true", help="one JSON object a line")
    listing.set_defaults(run=list_letters)

    showing = commands.add_parser("show", help="everything about one letter")
    showing.add_argument("id", type=_letter_id, metavar="ID", help="as printed by list, such as 3/17")
    showing.set_defaults(run=show_letter)

    replaying = commands.add_parser(
        "replay", help="process letters again, as their task's next run", epilog=_EPILOG
    )
    _add_filters(replaying)
    replaying.add_argument("id", type=_letter_id, metavar="ID", nargs="*", help="such as 3/17")
    replaying.add_argument("--again", action="store_true", help="also letters that were replayed before")
    replaying.add_argument("--dry-run", action="store_true", help="only print what would be done")
    replaying.set_defaults(run=replay_letters, usage_error=replaying.error)
    return whole


def list_letters(options: argparse.Namespace, settings: TransactionSettings, console: Console) -> int:
    """Prints a table of letters. Raises KafkaError."""
    mailbox = read(settings)
    wanted = Filter(options.task, options.since, options.code)
    found = [letter for letter in mailbox.letters if wanted(letter)]
    letters = [letter for letter in found if options.all or mailbox.replayed_as(letter) is None]
    if options.json:
        for letter in letters:
            console.print(text.as_json(letter, mailbox))
    elif letters:
        for line in text.table(letters, mailbox, console.width, options.all):
            console.print(line)
    else:
        hidden = f" ({len(found)} replayed ones: --all)" if found else ""
        console.print(f"no dead letters{hidden}")
    return EXIT_OK


def show_letter(options: argparse.Namespace, settings: TransactionSettings, console: Console) -> int:
    """Prints one letter. Raises KafkaError."""
    mailbox = read(settings)
    for letter in mailbox.letters:
        if letter.id == options.id:
            for line in text.details(letter, mailbox):
                console.print(line)
            return EXIT_OK
    console.print(f"there is no letter {options.id}")
    return EXIT_NOTHING_DONE


def replay_letters(options: argparse.Namespace, settings: TransactionSettings, console: Console) -> int:
    """Replays letters. Returns EXIT_NOTHING_DONE if some could not be replayed and no other was.

    Raises KafkaError and Overtaken.
    """
    if bool(options.id) == bool(options.task or options.since is not None):
        options.usage_error("expected either --task and --since, or IDs")
    wanted = Filter(options.task, options.since, ids=frozenset(options.id) if options.id else None)
    outcomes = []
    with closing(replay(settings, wanted, options.again, options.dry_run)) as found:
        for outcome in found:
            outcomes.append(outcome)
            console.print(f"{outcome.letter_id}: {_told(outcome, options.dry_run)}")
    if not outcomes:
        console.print("no dead letters match")
    replayed = any(isinstance(one.decision, Replay) for one in outcomes)
    refused = any(one.decision is None or isinstance(one.decision, Refused) for one in outcomes)
    return EXIT_NOTHING_DONE if refused and not replayed else EXIT_OK


def parse_since(text: str, now_s: float) -> float:
    """Reads a duration back from `now_s`, or an ISO time, as seconds since the epoch. Raises ValueError."""
    duration = re.fullmatch(r"([0-9]{1,9})([smhdw])", text)
    if duration:
        return now_s - int(duration[1]) * _UNITS_S[duration[2]]
    at = datetime.fromisoformat(text)
    return (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp()


def _told(outcome: Outcome, dry_run: bool) -> str:
    match outcome.decision:
        case None:
            return "there is no such letter"
        case Replay(letter, task_uuid, topic, run):
            done = "would be replayed" if dry_run else "replayed"
            return ", ".join([f"{letter.kind} {task_uuid} {done} to {topic} as run {run}", *_notes(outcome)])
        case Replayed(_, run):
            return f"already replayed as run {run} (--again does it once more)"
        case Outdone(_, by):
            return f"left: {by} is of the same task"
        case Refused(_, reason):
            return text.shown(f"cannot be replayed: {reason}")


def _notes(outcome: Outcome) -> Iterator[str]:
    if isinstance(outcome.decision, Replay) and outcome.decision.earlier_run is not None:
        run = outcome.later_success
        yield (
            f"although run {run} has succeeded"
            if run is not None
            else f"after run {outcome.decision.earlier_run}"
        )


def _add_filters(command: argparse.ArgumentParser) -> None:
    command.add_argument("--task", type=UUID, metavar="UUID", help="only letters of this task")
    command.add_argument("--since", type=_since, metavar="TIME", help="only letters since then")


def _letter_id(text: str) -> LetterId:
    try:
        return LetterId.parse(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _since(text: str) -> float:
    try:
        return parse_since(text, time.time())
    except (ValueError, OverflowError):
        raise argparse.ArgumentTypeError(f"{text!r}: {_EPILOG}") from None
