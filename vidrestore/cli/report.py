"""``vidrestore report``."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from vidrestore.cli.options import DONE, Common, print_result


@dataclass(frozen=True, kw_only=True)
class Report(Common):
    """Show in one HTML file what restoring a video does: before and after, people, timeline, what was skipped."""

    source: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="IN")]
    """The video."""
    output: Annotated[Path, tyro.conf.arg(aliases=["-o"], metavar="REPORT")]
    """The report, an HTML file."""
    restored: Annotated[Path | None, tyro.conf.arg(metavar="OUT")] = None
    """The video restored, to be compared with IN; without it, a few frames are restored for the report."""

    def run(self) -> int:
        from vidrestore.report import report_video

        with self.output_style.reporter() as reporter:
            facts = report_video(
                self.source,
                self.output,
                restored=self.restored,
                settings=self.settings,
                work=self.work,
                on_progress=reporter,
            )
        result = {
            "report": str(self.output),
            "megabytes": round(self.output.stat().st_size / 1e6, 2),
            "frames_shown": len(facts.scenes),
            "faces_shown": len(facts.views),
            "people": len(facts.analysis.identities),
            "warnings": list(facts.warnings),
        }
        print_result(result, self.output_style.json)
        return DONE
