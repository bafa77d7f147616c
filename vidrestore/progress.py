"""Show how far a run is: a bar for people, JSON lines for programs, or nothing."""

from __future__ import annotations

import json
import sys
import time
from types import TracebackType
from typing import Any, Literal, Self

from tqdm import tqdm

from vidrestore.types import Notice, Progress, TrainingProgress

_JSON_SECONDS = 1.0
"""Least time between two JSON lines of one stage."""
_SHARE_BAR = "{desc}: {percentage:3.0f}%|{bar}| {elapsed}<{remaining}{postfix}"


class Reporter:
    """Takes progress reports; use it as a context manager, so that bars end cleanly."""

    def __init__(self, style: Literal["bar", "json", "none"]) -> None:
        self._style = style
        self._stage = ""
        self._bar: tqdm[None] | None = None
        self._begun = self._told = 0.0
        self._faces_before = 0

    def __enter__(self) -> Self:
        return self

    def __call__(self, progress: Progress | TrainingProgress | Notice) -> None:
        """Show one report; a new stage begins a new bar, at what is done already."""
        if isinstance(progress, TrainingProgress):
            self._show_training(progress)
            return
        if isinstance(progress, Notice):
            self._show_notice(progress.text)
            return
        if self._begin(progress.stage, total=progress.frames_total, unit="frame", initial=progress.frames_done):
            self._faces_before = progress.faces_done
        rate = (progress.faces_done - self._faces_before) / max(time.monotonic() - self._begun, 1e-3)
        if self._bar is not None:
            self._bar.set_postfix_str(f"{progress.faces_done} faces, {rate:.1f} faces/s", refresh=False)
            self._bar.update(progress.frames_done - self._bar.n)
        self._tell(
            {
                "stage": progress.stage,
                "frames": progress.frames_done,
                "frames_total": progress.frames_total,
                "faces": progress.faces_done,
                "faces_per_second": round(rate, 2),
            },
            last=progress.frames_done == progress.frames_total,
        )

    def _show_notice(self, text: str) -> None:
        if self._style == "bar":
            tqdm.write(f"vidrestore: {text}", file=sys.stderr)
        elif self._style == "json":
            print(json.dumps({"notice": text}), file=sys.stderr, flush=True)

    def _show_training(self, progress: TrainingProgress) -> None:
        stage = f"train {progress.network}"
        self._begin(stage, total=1.0, initial=progress.share, bar_format=_SHARE_BAR)
        if self._bar is not None:
            shown = [f"step {progress.step}", *(f"{name} {value:.4g}" for name, value in progress.figures.items())]
            self._bar.set_postfix_str(", ".join(shown), refresh=False)
            self._bar.update(min(progress.share, 1.0) - self._bar.n)
        self._tell(
            {
                "stage": stage,
                "step": progress.step,
                "minutes": round(progress.minutes, 3),
                "share": round(progress.share, 4),
                "figures": dict(progress.figures),
            },
            last=progress.share >= 1,
        )

    def _begin(self, stage: str, **bar: Any) -> bool:
        """Begin a new bar, described by ``bar``, where ``stage`` is a new one; whether it is."""
        if stage == self._stage:
            return False
        self._close()
        self._stage, self._begun, self._told = stage, time.monotonic(), 0.0
        if self._style == "bar":
            # Into a file, a line now and then is enough.
            interval = 0.2 if sys.stderr.isatty() else 10.0
            self._bar = tqdm(desc=stage, file=sys.stderr, mininterval=interval, **bar)
        return True

    def _tell(self, line: dict[str, Any], last: bool) -> None:
        """Print ``line``, unless one was printed a moment ago; the ``last`` of a stage is always printed."""
        now = time.monotonic()
        if self._style == "json" and (last or now - self._told >= _JSON_SECONDS):
            self._told = now
            print(json.dumps(line), file=sys.stderr, flush=True)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._close()

    def _close(self) -> None:
        if self._bar is not None:
            self._bar.close()
            self._bar = None
