"""``vidrestore preview``."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

from vidrestore.cli.options import DONE, FACES_LEFT, Common, print_result


@dataclass(frozen=True, kw_only=True)
class Preview(Common):
    """Restore a short range, or one frame, into a comparison: before on the left, after on the right."""

    source: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="IN")]
    """The video."""
    output: Annotated[Path, tyro.conf.arg(aliases=["-o"], metavar="OUT")]
    """The comparison: a video, or with --frame a picture such as a PNG."""
    start: float = 0.0
    """Where the range begins, in seconds."""
    duration: float = 3.0
    """How long it is, in seconds."""
    frame: Annotated[float | None, tyro.conf.arg(metavar="SECONDS")] = None
    """Instead of a range, the one frame that is shown then."""
    view: Literal["side-by-side", "split", "restored"] = "side-by-side"
    """side-by-side; split, one picture whose left half is before and whose right half is after; or restored alone."""
    references: Annotated[Path | None, tyro.conf.arg(metavar="DIR")] = None
    """Your own photographs: a folder with a folder for each person, which may have the person's name."""

    def run(self) -> int:
        from vidrestore.api import preview_frame, preview_video

        with self.output_style.reporter() as reporter:
            if self.frame is not None:
                result = preview_frame(
                    self.source,
                    self.output,
                    seconds=self.frame,
                    view=self.view,
                    settings=self.settings,
                    work=self.work,
                    on_progress=reporter,
                    references=self.references,
                )
            else:
                result = preview_video(
                    self.source,
                    self.output,
                    start=self.start,
                    duration=self.duration,
                    view=self.view,
                    settings=self.settings,
                    work=self.work,
                    on_progress=reporter,
                    references=self.references,
                )
        print_result(dataclasses.asdict(result), self.output_style.json)
        return FACES_LEFT if result.failed else DONE
