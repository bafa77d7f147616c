"""Going on with a restoration that was interrupted, without saying again what it was."""

from __future__ import annotations

from pathlib import Path

from vidrestore.api.analyze import Listener, nobody
from vidrestore.api.restore import RestoreResult, restore_video
from vidrestore.config import Settings, merge
from vidrestore.errors import VideoError
from vidrestore.journal import folder_of, read_header
from vidrestore.types import Span


def resume_video(work: Path | str, *, on_progress: Listener = nobody) -> RestoreResult:
    """Go on with the restoration that is kept in ``work``, with the settings that it was begun with.

    Args:
        work: The output that was to be, or the folder ``OUT.part`` beside it.
        on_progress: Called after every frame.

    Raises:
        VideoError: nothing is kept there.
        The rest as :func:`restore_video`, which begins anew where the input or a network has changed.
    """
    work = Path(work)
    folder = next((folder for folder in (work, folder_of(work)) if folder.is_dir()), None)
    header = None if folder is None else read_header(folder)
    if folder is None or header is None:
        raise VideoError(f"no interrupted run is kept for {work}: name its output, or the folder OUT.part beside it")
    request = header["request"]
    return restore_video(
        request["source"],
        _output_of(folder, request["output"]),
        settings=merge(Settings(), request["settings"], str(folder)),
        work=request["work"],
        references=request["references"],
        span=Span(*request["span"]),
        keep_work=request["keep_work"],
        on_progress=on_progress,
    )


def _output_of(folder: Path, output: str) -> Path:
    """The output of the run in ``folder``, which may have been moved since."""
    moved = folder.with_name(Path(output).name)
    return moved if folder_of(moved) == folder else Path(output)
