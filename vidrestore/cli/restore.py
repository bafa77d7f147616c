"""``vidrestore restore``."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated

import tyro

from vidrestore.cli.options import DONE, FACES_LEFT, Common, print_result


@dataclass(frozen=True, kw_only=True)
class Restore(Common):
    """Restore the faces of a video and copy everything else."""

    source: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="IN")]
    """The video."""
    output: Annotated[Path, tyro.conf.arg(aliases=["-o"], metavar="OUT")]
    """The restored video; .mkv takes every kind of stream."""
    personalize: bool = False
    """First fine-tune a copy of the compact network on this video's people, kept in the work folder; it restores only
    if held-out frames of the video come out better with it."""
    personalize_minutes: float = 8.0
    """Minutes that fine-tuning may take."""

    def run(self) -> int:
        from vidrestore.api import restore_video

        restore = restore_video
        if self.personalize:
            from vidrestore.self_teaching import restore_personalized

            restore = partial(restore_personalized, minutes=self.personalize_minutes)
        with self.output_style.reporter() as reporter:
            result = restore(self.source, self.output, settings=self.settings, work=self.work, on_progress=reporter)
        print_result(dataclasses.asdict(result), self.output_style.json)
        return FACES_LEFT if result.failed else DONE
