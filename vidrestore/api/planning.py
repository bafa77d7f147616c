"""What an output will hold, as a user is told before the work starts."""

from __future__ import annotations

from pathlib import Path

from vidrestore.config import Settings
from vidrestore.types import OutputPlan
from vidrestore.video import CONTAINERS, check_destination, check_nothing_is_lost, plan_output


def plan_restoration(source: Path | str, output: Path | str, settings: Settings | None = None) -> OutputPlan:
    """What ``output`` will hold of the streams and the metadata of ``source``; nothing is written.

    Raises:
        VideoError: the video cannot be read, the output not be written, or ``encoding.strict`` is set and the
            output's container cannot carry everything.
        ConfigError: a codec or preset cannot be used here.
    """
    source, output, encoding = Path(source), Path(output), (settings or Settings()).encoding
    check_destination(source, output, encoding.codec, encoding.preset)
    plan = plan_output(source, output, encoding.codec)
    if encoding.strict:
        check_nothing_is_lost(plan)
    return plan


def check_output(source: Path, output: Path, settings: Settings) -> None:
    """Check, before any work is done, that ``output`` can be written, and where it is asked for, that nothing is lost.

    Raises:
        VideoError, ConfigError: as :func:`plan_restoration`.
    """
    if settings.encoding.strict:
        plan_restoration(source, output, settings)
    else:
        check_destination(source, output, settings.encoding.codec, settings.encoding.preset)


def default_output(source: Path) -> Path:
    """``NAME.restored`` beside a video, in the container that its name tells; .mkv where that one is only read."""
    extension = source.suffix.lower()
    return source.with_name(f"{source.stem}.restored{extension if extension in CONTAINERS else '.mkv'}")
