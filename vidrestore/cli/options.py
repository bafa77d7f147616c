"""What commands share: how they speak, what commands on videos take, and the exit codes."""

from __future__ import annotations

import dataclasses
import json
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import tyro

from vidrestore.config import Settings
from vidrestore.progress import Reporter
from vidrestore.terminal import printable
from vidrestore.types import OutputPlan

DONE, UNEXPECTED, USAGE, INPUT_OUTPUT, FACES_LEFT, INTERRUPTED = 0, 1, 2, 3, 4, 130

UNPREFIXED = tyro.conf.arg(name="")


@dataclass(frozen=True, kw_only=True)
class Output:
    """How a command speaks."""

    json: bool = False
    """Progress as JSON lines on stderr, and one object on stdout at the end."""
    quiet: bool = False
    """No progress."""

    def reporter(self) -> Reporter:
        return Reporter("json" if self.json else "none" if self.quiet else "bar")


@dataclass(frozen=True, kw_only=True)
class Common:
    """What the commands on videos share."""

    config: str | None = None
    """Settings file in TOML, or a preset: default, archival, interview, preview."""
    work: Path | None = None
    """Folder of the analysis; by default NAME.vidrestore beside the video."""
    settings: Annotated[Settings, UNPREFIXED] = field(default_factory=Settings)
    output_style: Annotated[Output, UNPREFIXED] = field(default_factory=Output)


def print_plan(plan: OutputPlan, as_json: bool) -> None:
    """What the output will hold, on stderr: a JSON line, or a line for each thing that will not be as in the source."""
    if as_json:
        streams = [
            {**dataclasses.asdict(item.stream), "fate": item.fate, "detail": item.detail} for item in plan.streams
        ]
        line = {"stage": "plan", "container": plan.extension, "codec": plan.codec, "streams": streams}
        print(json.dumps({**line, "warnings": plan.warnings}), file=sys.stderr, flush=True)
        return
    for warning in plan.warnings:
        print(f"before the work: {printable(warning)}", file=sys.stderr)


def print_result(result: dict[str, Any], as_json: bool) -> None:
    """One JSON object, or one line for each entry; warnings go to stderr."""
    if as_json:
        print(json.dumps(result))
        return
    warnings = result.pop("warnings", [])
    for name, value in result.items():
        shown = ", ".join(f"{count} {reason}" for reason, count in value.items()) if isinstance(value, dict) else value
        if shown not in ("", None):
            print(f"{name.replace('_', ' ')}: {printable(str(shown))}")
    for warning in warnings:
        print(f"warning: {printable(warning)}", file=sys.stderr)
