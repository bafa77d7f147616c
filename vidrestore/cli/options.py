"""What commands share: how they speak, what commands on videos take, and the exit codes."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import tyro

from vidrestore.config import Settings
from vidrestore.progress import Reporter

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


def print_result(result: dict[str, Any], as_json: bool) -> None:
    """One JSON object, or one line for each entry; warnings go to stderr."""
    if as_json:
        print(json.dumps(result))
        return
    warnings = result.pop("warnings", [])
    for name, value in result.items():
        shown = ", ".join(f"{count} {reason}" for reason, count in value.items()) if isinstance(value, dict) else value
        if shown not in ("", None):
            print(f"{name.replace('_', ' ')}: {shown}")
    for warning in warnings:
        print(f"warning: {warning}", file=sys.stderr)
