"""``vidrestore preview``."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from vidrestore.cli.options import DONE, FACES_LEFT, Common, print_result


@dataclass(frozen=True, kw_only=True)
class Preview(Common):
    """Restore a short range into a side-by-side video: before on the left, after on the right."""

    source: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="IN")]
    """The video."""
    output: Annotated[Path, tyro.conf.arg(aliases=["-o"], metavar="OUT")]
    """The comparison."""
    start: float = 0.0
    """Where the range begins, in seconds."""
    duration: float = 3.0
    """How long it is, in seconds."""

    def run(self) -> int:
        from vidrestore.api import preview_video

        with self.output_style.reporter() as reporter:
            result = preview_video(
                self.source,
                self.output,
                start=self.start,
                duration=self.duration,
                settings=self.settings,
                work=self.work,
                on_progress=reporter,
            )
        print_result(dataclasses.asdict(result), self.output_style.json)
        return FACES_LEFT if result.failed else DONE
