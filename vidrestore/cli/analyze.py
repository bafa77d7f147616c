"""``vidrestore analyze``."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from vidrestore.cli.options import DONE, Common, print_result
from vidrestore.cli.people import print_people
from vidrestore.types import IdentityMargin


@dataclass(frozen=True, kw_only=True)
class Analyze(Common):
    """Find who is where in a video and keep it for restore and preview."""

    source: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="IN")]
    """The video."""

    def run(self) -> int:
        from vidrestore.api import analyze_video, describe_analysis, describe_people, work_folder

        with self.output_style.reporter() as reporter:
            analysis = analyze_video(self.source, settings=self.settings, work=self.work, on_progress=reporter)
        summary = describe_analysis(analysis, work_folder(self.source, self.work))
        if not self.output_style.json:
            print_people(summary)
            summary = {name: value for name, value in summary.items() if name not in describe_people(analysis)}
            summary["margin"] = _told(analysis.margin)
        print_result(summary, self.output_style.json)
        return DONE


def _told(margin: IdentityMargin | None) -> str | None:
    """How clearly the tracks fell into people, in words."""
    if margin is None:
        return None
    parts = [f"one person from a similarity of {margin.threshold:.2f} on"]
    if margin.least_joined is not None:
        parts.append(f"least sure join {margin.least_joined:.2f}")
    if margin.most_apart is not None:
        parts.append(f"most alike of two people {margin.most_apart:.2f}")
    return "; ".join(parts)
