"""``vidrestore resume``."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import tyro

from vidrestore.cli.options import DONE, FACES_LEFT, UNPREFIXED, Output, print_result


@dataclass(frozen=True, kw_only=True)
class Resume:
    """Go on with a restoration that was interrupted, as it was begun."""

    work: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="OUT")]
    """The output that was to be, or the folder OUT.part beside it."""
    output_style: Annotated[Output, UNPREFIXED] = field(default_factory=Output)

    def run(self) -> int:
        from vidrestore.api import resume_video

        with self.output_style.reporter() as reporter:
            result = resume_video(self.work, on_progress=reporter)
        print_result(dataclasses.asdict(result), self.output_style.json)
        return FACES_LEFT if result.failed else DONE
