"""Runs `python -m processor models`: lists, fetches, adds, prepares and checks models."""

import argparse
import os
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import get_args

from processor.models import adding, catalogue, model_files
from processor.models.catalogue import Entry
from processor.models.model_files import ModelFiles
from processor.preparation import decision, terminal
from processor.preparation.decision import Decision, RequestedPrecision
from processor.separation.device import DeviceUnavailable, Requested

_CHOICES = {
    "device": ("DEVICE", get_args(Requested)),
    "precision": ("PRECISION", get_args(RequestedPrecision)),
}
# A network whose weights do not fit names each of them.
_MAX_REASON_CHARS = 1_000


def main(arguments: list[str]) -> int:
    """Run the command; return its exit code. Raises BrokenPipeError, and SystemExit on SIGTERM."""
    parser = _parser()
    options = parser.parse_args(arguments)
    _take_settings(parser, options)
    terminal.log_in_lines()
    run: Callable[[argparse.Namespace], int] = options.run
    try:
        with terminal.stopped_in_good_order() as options.check_stop:
            return run(options)
    except (model_files.ModelUnavailable, catalogue.BadData, DeviceUnavailable) as error:
        print(error, file=sys.stderr)
    except BrokenPipeError:  # the reader of our output has ended; see command_line.run
        raise
    except OSError as error:
        print(f"the model directory {options.dir} cannot be used: {error}", file=sys.stderr)
    return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m processor models")
    commands = parser.add_subparsers(dest="command", required=True)
    listing = commands.add_parser("list", help="list the catalogue's models, and which are here")
    listing.add_argument("--here", action="store_true", help="only the models that are here")
    listing.set_defaults(run=_list)
    fetching = commands.add_parser("fetch", help="fetch a model unless it is here, and prepare it")
    fetching.add_argument("name")
    fetching.set_defaults(run=_fetch)
    preparing = commands.add_parser("prepare", help="choose runtime and precision anew")
    preparing.add_argument("name")
    preparing.set_defaults(run=_prepare)
    adding_one = commands.add_parser("add", help="add a model file that the catalogue does not know")
    adding_one.add_argument("file", type=Path)
    adding_one.add_argument("--config", type=Path, help="the model's YAML file")
    adding_one.add_argument("--name", help="the model's name; the default is that of the file")
    adding_one.set_defaults(run=_add)
    for command in (fetching, adding_one, preparing):
        for name, (setting, choices) in _CHOICES.items():
            command.add_argument(f"--{name}", choices=choices, help=f"the default is that of {setting}")
    checking = commands.add_parser("check", help="compare digests of models that are here")
    checking.add_argument("name", nargs="?", help="the default is all models that are here")
    checking.set_defaults(run=_check)
    for command in commands.choices.values():
        command.add_argument("--dir", type=Path, default=Path(os.environ.get("MODEL_FILE_DIR") or "models"))
    return parser


def _take_settings(parser: argparse.ArgumentParser, options: argparse.Namespace) -> None:
    """Take the settings for what the arguments leave out. Ends the process where one is wrong."""
    for name, (setting, choices) in _CHOICES.items():
        if getattr(options, name, "") is None:  # argparse does not compare a default with the choices
            value = os.environ.get(setting) or "auto"
            if value not in choices:
                parser.error(f"{setting}={value} is wrong: expected one of {', '.join(choices)}")
            setattr(options, name, value)


def _list(options: argparse.Namespace) -> int:
    rows = [("NAME", "ARCHITECTURE", "HERE", "SPEED", "STEMS", "SDR IN DB")]
    for entry in _known(options.dir):
        is_here = model_files.is_here(entry, options.dir)
        if is_here or not options.here:
            speed = _speed(decision.newest_of(options.dir, entry.filename)) if is_here else ""
            here = "yes" if is_here else "-"
            stems = ", ".join(entry.stems) or "-"
            rows.append((entry.name, entry.architecture, here, speed or "-", stems, _scores(entry)))
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        cells = [cell.ljust(width) for cell, width in zip(row, widths, strict=True)]
        print("  ".join(cells).rstrip())
    if not (options.dir / catalogue.LISTS).exists():
        note = "these are the models that the installed library knows: a fetch brings the whole catalogue"
        print(note, file=sys.stderr)
    return 0


def _scores(entry: Entry) -> str:
    """Return the median SDR of each stem, as the library has measured it; empty where it has not."""
    return ", ".join(f"{stem} {sdr:.1f}" for stem, sdr in catalogue.scores_db(entry.filename).items())


def _fetch(options: argparse.Namespace) -> int:
    files = model_files.ensure(options.name, options.dir, fetch=True)
    size = sum(path.stat().st_size for path in (*files.parts, files.path))
    print(f"{files.path} ({size / 1e6:.1f} MB) is complete")
    return _prepared(files, options)


def _add(options: argparse.Namespace) -> int:
    added = adding.add(options.file, options.dir, options.name, options.config)
    files = added.files
    try:
        # It may be of an earlier model with the same name and content, and other parameters.
        decision.remove(files)
        made = _made(files, options)
    except BaseException as error:  # a file that is not known to load must not stay, whatever has happened
        decision.remove(files)
        adding.remove(added)
        if not isinstance(error, _NotPrepared):
            raise
        raise model_files.ModelUnavailable(f"{options.file} cannot be loaded: {error}") from None
    print(f"{files.path} is added, {files.architecture}, sha256 {files.sha256}")
    print(f"{files.name}: {_description(made)}")
    return 0


def _prepare(options: argparse.Namespace) -> int:
    files = model_files.ensure(options.name, options.dir, fetch=False)
    return _prepared(files, options, anew=True)


def _prepared(files: ModelFiles, options: argparse.Namespace, anew: bool = False) -> int:
    """Prepare the model and tell how it is computed; return 0 only if it is prepared."""
    try:
        made = _made(files, options, anew)
    except _NotPrepared as error:
        again = f"python -m processor models prepare {files.name}"
        raise model_files.ModelUnavailable(
            f"{files.name} cannot be prepared: {error}: mend the cause, then run `{again}`"
        ) from None
    if not made.is_finished:
        print(f"{files.name}: {decision.unfinished(files.name)}", file=sys.stderr)
        return 1
    print(f"{files.name}: {_description(made)}")
    return 0


class _NotPrepared(Exception):
    """The preparation has failed; the message says why."""


def _made(files: ModelFiles, options: argparse.Namespace, anew: bool = False) -> Decision:
    """Return how the model is computed, after preparing it if needed, or `anew`. Raises _NotPrepared."""
    # Import it only for work: the import takes seconds.
    from processor.preparation import installation

    def report(step: str) -> None:
        options.check_stop()
        _say(step)

    try:
        return installation.prepare(
            files, options.device, options.precision, report, check_stop=options.check_stop, anew=anew
        )
    except (DeviceUnavailable, BrokenPipeError):
        raise
    except Exception as error:  # noqa: BLE001 (a network and its runtime may fail in any way)
        raise _NotPrepared(" ".join(str(error).split())[:_MAX_REASON_CHARS] or type(error).__name__) from None


def _say(step: str) -> None:
    print(step, file=sys.stderr, flush=True)


def _description(made: Decision) -> str:
    return f"{_speed(made)}, on {made.machine} ({made.reason})"


def _speed(made: Decision | None) -> str:
    """Return the speed and how the model is computed; empty without a decision."""
    if made is None:
        return ""
    speed = f"{made.times_real_time:g}x real time, " if made.times_real_time else ""
    return f"{speed}{made.runtime} {made.precision}"


def _check(options: argparse.Namespace) -> int:
    names = [options.name] if options.name else [e.filename for e in _here(options.dir)]
    bad = 0
    for name in names:
        try:
            files = model_files.ensure(name, options.dir, fetch=False)
        except model_files.ModelUnavailable as error:
            bad += 1
            print(f"{name}: {error}")
        else:
            print(f"{name}: ok, {files.architecture}, sha256 {files.sha256}")
            if made := decision.newest(files):
                print(f"  {_description(made)}")
    if not names:
        print(f"no models in {options.dir}")
    return 1 if bad else 0


def _known(model_dir: Path) -> list[Entry]:
    known = [model_files.SPLEETER_ENTRY, *catalogue.entries(model_dir)]
    listed = {entry.filename for entry in known}
    own = (model_files.find(path.name, model_dir) for path in _files(model_dir) if path.name not in listed)
    return [*known, *(entry for entry in own if entry)]


def _here(model_dir: Path) -> Iterable[Entry]:
    """Yield the models whose main file is here, even where another file is missing."""
    return (entry for entry in _known(model_dir) if (model_dir / entry.filename).exists())


def _files(model_dir: Path) -> list[Path]:
    return sorted(path for path in model_dir.glob("*") if path.suffix in (".onnx", ".pth"))
