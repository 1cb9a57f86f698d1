"""`python -m api keys create|list|revoke`: makes keys for programs, in the file that API_KEYS_FILE names."""

import argparse
import os
import sys
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path

from api.auth.caller import Scope
from api.auth.keys import ApiKey, new_key
from api.auth.keys_file import add_key, read_keys, revoke_keys

_UNITS_S = {"h": 3600, "d": 24 * 3600}
_MAX_EXPIRY_S = 10 * 366 * 24 * 3600
_VARIABLE = "API_KEYS_FILE"


def main(arguments: Sequence[str], now_s: Callable[[], float] = time.time) -> int:
    """Return the exit code. `now_s` is in seconds since the epoch."""
    given = _parser().parse_args(arguments)
    named = given.file or os.environ.get(_VARIABLE)
    if not named:
        print(f"error: name the file of keys: set {_VARIABLE}, or add --file", file=sys.stderr)
        return 2
    try:
        code: int = given.run(given, Path(named), now_s())
    except ValueError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except OSError as error:
        print(f"error: {named}: {error.strerror or error}", file=sys.stderr)
        return 1
    return code


def _create(given: argparse.Namespace, path: Path, now_s: float) -> int:
    expires_at = None if given.expires is None else now_s + given.expires
    text, key = new_key(given.user, given.scopes, now_s, expires_at, given.name)
    add_key(path, key, now_s)
    print(f"key {key.id} of {key.user}: keep the next line, it is shown only now", file=sys.stderr)
    print(text)
    return 0


def _list(_: argparse.Namespace, path: Path, now_s: float) -> int:
    for key in read_keys(path):
        until = "never" if key.expires_at is None else _date(key.expires_at)
        row = (key.id, key.user, ",".join(key.scopes), _date(key.created_at), until, _state(key, now_s))
        print("  ".join((*row, key.name)).rstrip())
    return 0


def _revoke(given: argparse.Namespace, path: Path, now_s: float) -> int:
    if not given.ids and given.user is None:
        raise ValueError("name the keys by their ids, or a user by --user")
    for key in revoke_keys(path, given.ids, given.user, now_s):
        print(f"{key.id} of {key.user} is revoked")
    return 0


def _state(key: ApiKey, now_s: float) -> str:
    if key.revoked_at is not None:
        return "revoked"
    return "expired" if key.expires_at is not None and key.expires_at <= now_s else "valid"


def _date(moment_s: float) -> str:
    return datetime.fromtimestamp(moment_s, UTC).strftime("%Y-%m-%dT%H:%MZ")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("python -m api keys", description="Keys for programs.")
    parser.add_argument("--file", metavar="FILE", help=f"the file of keys, in place of {_VARIABLE}")
    commands = parser.add_subparsers(required=True, metavar="create|list|revoke")
    create = commands.add_parser("create", help="make a key and print it")
    create.add_argument("user", help="the user whose tasks the key's tasks are")
    create.add_argument(
        "--scopes",
        type=_scopes,
        default=(Scope.SUBMIT, Scope.READ),
        metavar="SCOPES",
        help="what the key may do: submit, read and admin, with commas between them (submit,read)",
    )
    create.add_argument(
        "--expires", type=_span_s, metavar="SPAN", help="how long the key is valid, such as 12h or 90d"
    )
    create.add_argument("--name", type=_name, default="", help="what the key is for, for people")
    create.set_defaults(run=_create)
    commands.add_parser("list", help="print all keys, without their secrets").set_defaults(run=_list)
    revoke = commands.add_parser("revoke", help="end keys; a running api refuses them at once")
    revoke.add_argument("ids", nargs="*", metavar="ID")
    revoke.add_argument("--user", help="all keys of this user")
    revoke.set_defaults(run=_revoke)
    return parser


def _scopes(text: str) -> tuple[Scope, ...]:
    try:
        return tuple(Scope(part.strip()) for part in text.split(","))
    except ValueError:
        raise argparse.ArgumentTypeError(f"expected some of {','.join(Scope)}, got {text!r}") from None


def _span_s(text: str) -> int:
    count, unit = text[:-1], text[-1:]
    is_span = unit in _UNITS_S and count.isascii() and count.isdigit() and len(count) < 9
    span_s = int(count) * _UNITS_S[unit] if is_span else 0
    if not 0 < span_s <= _MAX_EXPIRY_S:
        raise argparse.ArgumentTypeError(
            f"expected a span such as 12h or 90d, at most 10 years, got {text!r}"
        )
    return span_s


def _name(text: str) -> str:
    if len(text) > 100 or not text.isprintable():
        raise argparse.ArgumentTypeError("expected at most 100 printable characters")
    return text
