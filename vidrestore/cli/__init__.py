"""The command line: arguments in, progress and results out. The work is done elsewhere; each command has a file.

Exit codes: 0 done, 1 unexpected error or a failed check, 2 settings or usage, 3 input, output or weights, 4 finished
with faces that could not be restored, 130 interrupted.
"""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Sequence
from typing import Any

import tyro

from vidrestore import __version__
from vidrestore.cli.analyze import Analyze
from vidrestore.cli.demo import Demo
from vidrestore.cli.doctor import Doctor
from vidrestore.cli.evaluate import Eval
from vidrestore.cli.models import Models
from vidrestore.cli.options import DONE, INPUT_OUTPUT, INTERRUPTED, UNEXPECTED, USAGE, Common
from vidrestore.cli.people import People
from vidrestore.cli.preview import Preview
from vidrestore.cli.report import Report
from vidrestore.cli.restore import Restore
from vidrestore.cli.resume import Resume
from vidrestore.cli.train import Train
from vidrestore.config import load_settings
from vidrestore.errors import ComponentError, ConfigError, DeviceError, VidrestoreError
from vidrestore.terminal import printable

COMMANDS: dict[str, type[Any]] = {
    "restore": Restore,
    "resume": Resume,
    "analyze": Analyze,
    "people": People,
    "preview": Preview,
    "report": Report,
    "eval": Eval,
    "demo": Demo,
    "doctor": Doctor,
    "models": Models,
    "train": Train,
}


def main(arguments: Sequence[str] | None = None) -> None:
    """Run a command and exit with its code."""
    sys.exit(run(sys.argv[1:] if arguments is None else list(arguments)))


def run(arguments: Sequence[str]) -> int:
    """Run a command; its exit code."""
    try:
        return _run(arguments)
    except KeyboardInterrupt as interruption:
        print(f"\nvidrestore: {interruption or 'interrupted; nothing was left half written'}", file=sys.stderr)
        return INTERRUPTED
    except VidrestoreError as error:
        print(f"vidrestore: {printable(str(error))}", file=sys.stderr)
        return USAGE if isinstance(error, (ConfigError, ComponentError, DeviceError)) else INPUT_OUTPUT
    except BrokenPipeError:
        return UNEXPECTED


def _run(arguments: Sequence[str]) -> int:
    if not arguments or arguments[0] in ("-h", "--help"):
        print(_overview())
        return DONE if arguments else USAGE
    if arguments[0] == "--version":
        print(f"vidrestore {__version__}")
        return DONE
    name, *rest = arguments
    if name not in COMMANDS:
        print(f"vidrestore: no command {name!r}; there are: {', '.join(COMMANDS)}", file=sys.stderr)
        return USAGE
    command = tyro.cli(
        COMMANDS[name],
        prog=f"vidrestore {name}",
        args=rest,
        default=_defaults(COMMANDS[name], rest),
        config=(tyro.conf.FlagCreatePairsOff, tyro.conf.AvoidSubcommands),
    )
    return int(command.run())


def _defaults(command: type[Any], arguments: Sequence[str]) -> Any:
    """The command with the settings of ``--config`` in place, so that the other flags go on top of them."""
    if not issubclass(command, Common):
        return tyro.MISSING_NONPROP
    named = None
    for index, argument in enumerate(arguments):
        if argument == "--config" and index + 1 < len(arguments):
            named = arguments[index + 1]
        elif argument.startswith("--config="):
            named = argument.removeprefix("--config=")
    items = {item.name: item for item in dataclasses.fields(command)}
    factory = items["settings"].default_factory
    assert callable(factory)
    required = {
        item.name: tyro.MISSING
        for item in items.values()
        if item.default is dataclasses.MISSING and item.default_factory is dataclasses.MISSING
    }
    return command(settings=load_settings(named, factory()), **required)


def _overview() -> str:
    lines = [
        f"vidrestore {__version__}: restores the faces in a video as the people they are.",
        "",
        "usage: vidrestore COMMAND ...",
        "",
    ]
    lines += [f"  {name:10}{(command.__doc__ or '').splitlines()[0]}" for name, command in COMMANDS.items()]
    return "\n".join([*lines, "", "vidrestore COMMAND --help tells more. Restored faces are estimates, not evidence."])
