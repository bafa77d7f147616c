"""``vidrestore eval``."""

from __future__ import annotations

import dataclasses
import json
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import tyro

from vidrestore.cli.options import DONE, UNPREFIXED, Common
from vidrestore.config import FacesSettings, Settings
from vidrestore.errors import ConfigError


@dataclass(frozen=True, kw_only=True)
class Eval(Common):
    """Measure restored videos, of any tool, against the truth; without --truth, say what restoring a video may gain.

    --faces is the pack that judges: auto takes the best one at hand that drove none of the outputs.
    """

    outputs: Annotated[tuple[Path, ...], tyro.conf.Positional, tyro.conf.arg(metavar="OUT")]
    """The restored videos; without --truth, the one video that is to be restored."""
    truth: Path | None = None
    """The original of the video, of any size; its faces are what is measured."""
    input: Path | None = None
    """What was restored; the outputs have its size and its frames."""
    settings: Annotated[Settings, UNPREFIXED] = field(
        default_factory=lambda: Settings(faces=FacesSettings(pack="auto"))
    )
    plots: Path | None = None
    """Folder for plots over time and across the outputs, as PNG."""
    lpips: Path | None = None
    """ONNX file of an LPIPS network (docs/metrics.md); without one there is no such figure."""

    def run(self) -> int:
        if self.truth is None:
            return self._without_truth()
        if self.input is None:
            raise ConfigError("eval --truth needs --input, too: the video that was restored")
        from vidrestore.evaluation import compare_videos

        with self.output_style.reporter() as reporter:
            comparison = compare_videos(
                self.truth,
                self.input,
                self.outputs,
                settings=self.settings,
                work=self.work,
                lpips=self.lpips,
                on_progress=reporter,
            )
        if self.output_style.json:
            print(json.dumps(comparison.summary))
        else:
            from vidrestore.evaluation.tables import as_text

            print(as_text(comparison.summary))
            for warning in comparison.summary["warnings"]:
                print(f"warning: {warning}", file=sys.stderr)
        if self.plots is not None:  # after the figures, which a full disk must not take along
            from vidrestore.evaluation.plots import write_plots

            write_plots(comparison, self.plots)
        return DONE

    def _without_truth(self) -> int:
        """The one video as its own teacher."""
        if self.input is not None or len(self.outputs) != 1:
            raise ConfigError("eval without --truth takes one video and no --input; to compare outputs, give --truth")
        from vidrestore.self_teaching import expected_gain

        faces = self.settings.faces
        pack = FacesSettings().pack if faces.pack == "auto" else faces.pack  # there is no output to judge
        settings = dataclasses.replace(self.settings, faces=dataclasses.replace(faces, pack=pack))
        with self.output_style.reporter() as reporter:
            expectation = expected_gain(self.outputs[0], settings, self.work, reporter)
        print(json.dumps(expectation.to_json()) if self.output_style.json else expectation.as_text())
        return DONE
