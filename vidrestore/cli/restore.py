"""``vidrestore restore``."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated

import tyro

from vidrestore.cli.options import DONE, FACES_LEFT, INPUT_OUTPUT, Common, print_plan, print_result
from vidrestore.errors import ConfigError
from vidrestore.types import Span


@dataclass(frozen=True, kw_only=True)
class Restore(Common):
    """Restore the faces of a video and copy everything else; or those on a picture, a folder or a list of pictures."""

    source: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="IN")]
    """The video; or a picture, a folder of pictures, or a .txt with a picture in each line, which may go on with a tab
    and a folder of references, and a tab and a folder of the references' landmarks."""
    output: Annotated[Path | None, tyro.conf.arg(aliases=["-o"], metavar="OUT")] = None
    """The restored video, by default NAME.restored beside the video, in its container; .mkv takes every kind of stream.
    Or the restored picture, or a folder of them."""
    check: bool = False
    """Restore nothing; draw landmarks, components, tracks, people and weights into the output instead."""
    personalize: bool = False
    """First fine-tune a copy of the compact network on this video's people, kept in the work folder; it restores only
    if held-out frames of the video come out better with it."""
    personalize_minutes: float = 8.0
    """Minutes that fine-tuning may take."""
    report: Annotated[Path | None, tyro.conf.arg(metavar="REPORT")] = None
    """Also write a report of the run into this HTML file."""
    references: Annotated[Path | None, tyro.conf.arg(metavar="DIR")] = None
    """Your own photographs: a folder with a folder for each person, which may have the person's name."""
    start: float = 0.0
    """Restore only from this second on, exactly; sound is cut to match, and the output begins at 0."""
    end: float | None = None
    """And only up to this second."""
    keep_work: bool = False
    """Keep the folder OUT.part, from which a run that was interrupted goes on, also when all is done."""

    def run(self) -> int:
        from vidrestore.api.stills import is_stills

        stills = is_stills(self.source)
        elsewhere = "--check" if self.check else "pictures"
        videos_only = {
            "personalize": self.personalize,
            "report": self.report is not None,
            "start or --end": not self._span.whole,
        }
        for name, given in videos_only.items():
            if given and (stills or self.check):
                raise ConfigError(f"--{name} goes with restoring a video, not with {elsewhere}")
        if self.check and self.references is not None:
            raise ConfigError("--references goes with restoring, not with --check")
        if self.check:
            return self._check(stills)
        return self._restore_stills() if stills else self._restore_video()

    @property
    def _destination(self) -> Path:
        """What is written.

        Raises:
            ConfigError: it is not named, and it is no restored video.
        """
        from vidrestore.api.planning import default_output
        from vidrestore.api.stills import is_stills

        if self.output is None and (self.check or is_stills(self.source)):
            raise ConfigError("name the output with -o; only a restored video has a name by default")
        return self.output or default_output(self.source)

    @property
    def _span(self) -> Span:
        """The part that is restored.

        Raises:
            ConfigError: it is none.
        """
        end = math.inf if self.end is None else self.end
        if not 0 <= self.start < end:
            raise ConfigError(f"--start {self.start:g} and --end {end:g} are no range: 0 <= start < end")
        return Span(self.start, None if math.isinf(end) else end)

    def _check(self, stills: bool) -> int:
        from vidrestore.api.check import check_video
        from vidrestore.api.stills import check_stills

        check = check_stills if stills else partial(check_video, work=self.work)
        with self.output_style.reporter() as reporter:
            result = check(self.source, self._destination, settings=self.settings, on_progress=reporter)
        print_result(dataclasses.asdict(result), self.output_style.json)
        return INPUT_OUTPUT if result.unreadable else DONE

    def _restore_stills(self) -> int:
        from vidrestore.api.stills import restore_stills

        with self.output_style.reporter() as reporter:
            result = restore_stills(
                self.source, self._destination, settings=self.settings, references=self.references, on_progress=reporter
            )
        print_result(dataclasses.asdict(result), self.output_style.json)
        if result.unreadable:
            return INPUT_OUTPUT
        return FACES_LEFT if result.failed else DONE

    def _restore_video(self) -> int:
        from vidrestore.api import plan_restoration, restore_video

        restore = restore_video
        if self.personalize:
            from vidrestore.self_teaching import restore_personalized

            restore = partial(restore_personalized, minutes=self.personalize_minutes)
        restore = partial(restore, references=self.references, span=self._span, keep_work=self.keep_work)
        report = None
        if self.report is not None:
            from vidrestore.report import RunReport

            report = RunReport(self.report, self.source, self._destination)
            restore = partial(restore, witness=report)
        output = self._destination
        print_plan(plan_restoration(self.source, output, self.settings), self.output_style.json)
        with self.output_style.reporter() as reporter:
            result = restore(self.source, output, settings=self.settings, work=self.work, on_progress=reporter)
        if report is not None:
            report.write(result)
        print_result(dataclasses.asdict(result), self.output_style.json)
        return FACES_LEFT if result.failed else DONE
